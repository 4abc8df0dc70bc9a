// What is told on standard error while something long goes on: to people only, one line that is written over.

const EVERY_MS = 200;

export class Progress {
  #stream;
  #shown = 0;
  #said = false;

  /** @param {NodeJS.WriteStream} stream */
  constructor(stream = process.stderr) {
    this.#stream = stream;
  }

  /** @param {string} text */
  say(text) {
    if (!this.#stream.isTTY || Date.now() - this.#shown < EVERY_MS) return;
    this.#shown = Date.now();
    this.#said = true;
    this.#stream.write(`\r\u001b[K${text}`);
  }

  /** Ends the line, so that what follows begins one. */
  end() {
    if (this.#said) this.#stream.write("\r\u001b[K");
    this.#said = false;
  }
}

/** @param {number} bytes */
export const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
