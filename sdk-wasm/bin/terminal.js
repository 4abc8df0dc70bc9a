// What people see: tables and colour on a terminal, NDJSON in a pipe. Recorded text reaches a terminal without its control
// characters, which could move the cursor, change the title or write to the clipboard.

const COLORS = { completed: 32, ok: 32, verified: 32, stored: 32, tampered: 31, failed: 31, error: 31, cancelled: 33, abandoned: 33, waiting: 36, running: 36 };

/** A text that a terminal only shows. */
export const plain = (text) => String(text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** @typedef {[title: string, width: number, value: (row: any) => unknown]} Column */

/** Where lines go: as a table to people, as JSON to programs. */
export class Output {
  #stream;
  #people;
  #color;
  #columns;
  #headed = false;

  /** @param {NodeJS.WriteStream} stream @param {Column[]} columns */
  constructor(stream, columns, { json = !stream.isTTY, color = Boolean(stream.isTTY) && !process.env.NO_COLOR } = {}) {
    this.#stream = stream;
    this.#people = !json;
    this.#color = color;
    this.#columns = columns;
  }

  async row(row) {
    if (!this.#people) return this.#write(`${JSON.stringify(row)}\n`);
    if (!this.#headed) await this.#write(`${this.#line(this.#columns.map(([title]) => title))}\n`);
    this.#headed = true;
    return this.#write(`${this.#line(this.#columns.map(([, , value]) => value(row)))}\n`);
  }

  #line(values) {
    const cells = values.map((value, index) => {
      const width = this.#columns[index][1];
      const text = [...plain(value)].slice(0, width).join("");
      const padded = text + " ".repeat(width - [...text].length);
      return this.#color && COLORS[text] ? `\u001b[${COLORS[text]}m${padded}\u001b[0m` : padded;
    });
    return cells.join("  ").trimEnd();
  }

  async #write(text) {
    if (!this.#stream.write(text)) await new Promise((done) => this.#stream.once("drain", done));
  }
}

const time = (ms) => (ms === undefined || ms === null ? "" : new Date(ms).toISOString().slice(0, 19).replace("T", " "));
const duration = (ms) => (ms === undefined || ms === null ? "" : ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);
const tokens = ({ usage = {} }) => Object.values(usage).reduce((sum, count) => sum + count, 0);
const dollars = (cost) => (cost ? `$${cost.toFixed(4)}` : "");

/** @type {Column[]} */
export const EXECUTIONS = [
  ["STARTED (UTC)", 19, ({ started_at }) => time(started_at)],
  ["STATUS", 9, ({ status }) => status],
  ["NAME", 28, ({ name }) => name],
  ["TOOK", 9, ({ duration_ms }) => duration(duration_ms)],
  ["STEPS", 6, ({ steps }) => steps],
  ["TOKENS", 8, tokens],
  ["COST", 9, ({ cost_usd }) => dollars(cost_usd)],
  ["ID", 36, ({ id }) => id],
];

/** @type {Column[]} */
export const COUNTS = [
  ["LINES", 8, ({ lines }) => lines],
  ["CODE", 24, ({ code }) => code],
];

/** @type {Column[]} */
export const CHECKED = [
  ["RECEIVED (UTC)", 19, ({ received_at }) => time(received_at)],
  ["WRITER", 16, ({ writer }) => writer],
  ["K", 6, ({ k }) => k],
  ["EVENTS", 6, ({ count }) => count],
  ["VERDICT", 11, ({ verdict }) => verdict],
  ["IMPORTED (UTC)", 19, ({ imported }) => time(imported?.at)],
  ["REASON", 60, ({ reason }) => reason],
];

/** @type {Column[]} */
export const STEPS = [
  ["AT (UTC)", 19, ({ at }) => time(at)],
  ["STATUS", 9, ({ status }) => status],
  ["KIND", 10, ({ kind }) => kind],
  ["NAME", 32, ({ name }) => name],
  ["TOOK", 9, ({ duration_ms }) => duration(duration_ms)],
  ["MODEL", 20, ({ model }) => model],
  ["ID", 16, ({ id }) => id],
];
