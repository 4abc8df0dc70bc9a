// An import, slice by slice. The server takes each line by itself and importing twice changes nothing, so that what is kept between
// runs (`<file>.import.json`: how far it came, and what came of that) saves time and is never needed.

import { createReadStream, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Misuse, send } from "./api.js";
import { Progress } from "./progress.js";

/** What one request takes: the route's bounds, less room for what surrounds the lines. */
const LINES_MAX = 8;
const BYTES_MAX = 1_900_000;
/** Lines that are named on standard error; beyond, the counts say how many. */
const NAMED_MAX = 100;
const AGE = /^(-----BEGIN AGE ENCRYPTED FILE-----|age-encryption\.org\/)/;

/** Codes of lines with which all is well. */
export const WELL = ["stored", "duplicate", "no_batch"];

/**
 * @param {URL} url
 * @param {string} file "-" for standard input
 * @param {string} key the API key
 * @returns {Promise<Record<string, number>>} lines by what came of them
 */
export async function importFile(url, file, key) {
  const state = file === "-" ? new State() : new FileState(file, String(url));
  const importer = new Importer(url, key, state);
  if (state.line > 0) process.stderr.write(`going on after line ${state.line}\n`);
  const input = file === "-" ? process.stdin : createReadStream(file);
  let line = 0;
  try {
    for await (const text of createInterface({ input, crlfDelay: Infinity })) {
      line += 1;
      if (line === 1 && AGE.test(text)) throw new Misuse("the file is encrypted: decrypt it first, as in `age -d -i key.txt export.age | stepseal import <worker url> -`");
      if (line > state.line && text !== "") await importer.take(line, text);
    }
    await importer.flush();
  } finally {
    importer.end();
  }
  state.done();
  return state.counts;
}

class Importer {
  #url;
  #key;
  #state;
  #slice = [];
  #bytes = 0;
  #named = 0;
  #progress = new Progress();

  constructor(url, key, state) {
    this.#url = url;
    this.#key = key;
    this.#state = state;
  }

  async take(line, text) {
    const bytes = Buffer.byteLength(text) + 1;
    if (bytes > BYTES_MAX) {
      await this.flush();
      this.#note([{ line, code: "line_too_long", detail: `The line has ${bytes} bytes; the largest batch gives ${BYTES_MAX} at most.` }]);
      return this.#state.advance(line);
    }
    if (this.#slice.length === LINES_MAX || this.#bytes + bytes > BYTES_MAX) await this.flush();
    this.#slice.push({ line, text });
    this.#bytes += bytes;
  }

  async flush() {
    const slice = this.#slice;
    if (slice.length === 0) return;
    [this.#slice, this.#bytes] = [[], 0];
    const body = slice.map(({ text }) => `${text}\n`).join("");
    /** @type {any} */
    const { results } = await (await send(this.#url, this.#key, body)).json();
    this.#note(results.map((result) => ({ ...result, line: slice[result.line - 1].line })));
    this.#state.advance(slice.at(-1).line);
    this.#progress.say(`line ${slice.at(-1).line}`);
  }

  #note(results) {
    for (const { line, code, field, detail } of results) {
      this.#state.counts[code] = (this.#state.counts[code] ?? 0) + 1;
      if (WELL.includes(code)) continue;
      this.#named += 1;
      this.#progress.end();
      if (this.#named <= NAMED_MAX) process.stderr.write(`line ${line}: ${code}${field ? ` (${field})` : ""}: ${detail}\n`);
      if (this.#named === NAMED_MAX) process.stderr.write("further lines that are refused are only counted\n");
    }
  }

  end() {
    this.#progress.end();
  }
}

/** How far an import came. */
class State {
  line = 0;
  /** @type {Record<string, number>} */
  counts = {};
  advance(line) {
    this.line = line;
  }
  done() {}
}

/** The same, kept beside the file for the next run. */
class FileState extends State {
  #path;
  #of;

  constructor(file, target) {
    super();
    this.#path = `${file}.import.json`;
    let found;
    try {
      found = statSync(file);
    } catch {
      throw new Misuse(`${file} cannot be read`);
    }
    this.#of = { target, size: found.size, modified: found.mtimeMs };
    if (!existsSync(this.#path)) return;
    try {
      const { line, counts, ...of } = JSON.parse(readFileSync(this.#path, "utf8"));
      // Of another file or another server: beginning anew changes nothing that is stored.
      if (JSON.stringify(of) === JSON.stringify(this.#of)) [this.line, this.counts] = [line, counts];
    } catch {
      // The same.
    }
  }

  advance(line) {
    super.advance(line);
    try {
      writeFileSync(`${this.#path}.new`, JSON.stringify({ ...this.#of, line, counts: this.counts }), { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch {
      // A folder that cannot be written to: the next run begins anew.
    }
  }

  done() {
    rmSync(this.#path, { force: true });
  }
}
