// An export into a file that may be cut off at any moment and goes on where it was: `<file>.part` grows page by page,
// `<file>.part.json` says how far it is sound and what is asked next, and only the whole takes the file's own name.

import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { Misuse, pages } from "./api.js";
import { Progress, size } from "./progress.js";

/** @typedef {{ question: string, next: string, bytes: number }} State */

/**
 * @param {URL} url the first page
 * @param {string} file
 * @param {string} key
 * @param {{ force?: boolean }} [options]
 */
export async function exportToFile(url, file, key, { force = false } = {}) {
  if (existsSync(file) && !force) throw new Misuse(`${file} is there already: name another file, or pass --force to replace it`);
  const part = new Part(file, String(url));
  const begun = part.resume();
  if (begun) process.stderr.write(`going on with ${part.path} after ${size(part.bytes)}\n`);
  const progress = new Progress();
  try {
    for await (const { text, next } of pages(begun ? new URL(begun) : url, key)) {
      part.append(text, next);
      progress.say(`${size(part.bytes)} exported`);
    }
  } finally {
    progress.end();
    part.close();
  }
  part.finish();
}

/** The part that is there. */
class Part {
  bytes = 0;
  path;
  #file;
  #statePath;
  #question;
  #descriptor = -1;

  constructor(file, question) {
    this.#file = file;
    this.path = `${file}.part`;
    this.#statePath = `${this.path}.json`;
    this.#question = question;
  }

  /** The page that an earlier run would have asked for next; none where there was none. */
  resume() {
    const state = this.#readState();
    // Exports hold what was recorded: nobody else may read them.
    this.#descriptor = openSync(this.path, state ? "r+" : "w", 0o600);
    if (!state) return undefined;
    // What stands behind was written and not yet noted when the earlier run ended.
    ftruncateSync(this.#descriptor, state.bytes);
    this.bytes = state.bytes;
    return state.next;
  }

  /** @returns {State | undefined} */
  #readState() {
    if (!existsSync(this.#statePath) || !existsSync(this.path)) return undefined;
    let state;
    try {
      state = JSON.parse(readFileSync(this.#statePath, "utf8"));
    } catch {
      throw new Misuse(`${this.#statePath} cannot be read: remove it and ${this.path} to begin anew`);
    }
    if (state.question !== this.#question) throw new Misuse(`${this.path} is of another export: finish that one with the options it had, or remove ${this.path} and ${this.#statePath}`);
    if (statSync(this.path).size < state.bytes) throw new Misuse(`${this.path} is shorter than it was: remove it and ${this.#statePath} to begin anew`);
    return state;
  }

  /** Text first, then the note of it: a run that ends in between asks for that page again. */
  append(text, next) {
    const bytes = Buffer.from(text);
    for (let written = 0; written < bytes.length; ) written += writeSync(this.#descriptor, bytes, written, bytes.length - written, this.bytes + written);
    this.bytes += bytes.length;
    if (next === undefined) return;
    fsyncSync(this.#descriptor);
    const state = { question: this.#question, next: String(next), bytes: this.bytes };
    writeFileSync(`${this.#statePath}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${this.#statePath}.new`, this.#statePath);
  }

  close() {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  finish() {
    const descriptor = openSync(this.path, "r+");
    fsyncSync(descriptor);
    closeSync(descriptor);
    renameSync(this.path, this.#file);
    rmSync(this.#statePath, { force: true });
  }
}
