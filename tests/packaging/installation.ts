// The package as users get it: packed, installed in a folder outside the repository. Tools come from the
// repository's node_modules, so that nothing is downloaded.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { executionId } from "../client/batches.ts";
import { type Collector, session } from "../sdk/collector.ts";

export const ROOT = join(import.meta.dirname, "..", "..");
const PACKAGE = join(ROOT, "sdk-wasm", "pkg");

/** Every entry that records. */
export const ENTRIES = ["stepseal", "stepseal/inline"] as const;
export type Entry = (typeof ENTRIES)[number];

export class Installation {
  readonly home = mkdtempSync(join(tmpdir(), "stepseal-packaging-"));
  /** What the tarball holds. */
  readonly files: string[];

  constructor() {
    const quiet = { cwd: this.home, encoding: "utf8", stdio: "pipe" } as const;
    const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", this.home, PACKAGE], quiet));
    this.files = packed.files.map((file: { path: string }) => file.path).sort();
    writeFileSync(join(this.home, "package.json"), '{ "private": true, "type": "module" }\n');
    execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", join(this.home, packed.filename)], quiet);
  }

  /** The installed package. */
  get package(): string {
    return join(this.home, "node_modules", "stepseal");
  }

  /** An app that uses it: a folder with these files. */
  app(name: string, files: Record<string, string>): string {
    const folder = join(this.home, name.replace(/\W+/g, "-"));
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    return folder;
  }

  remove(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** What {@link Program} leaves in `globalThis.recorded`. */
export type Recorded = { counts: unknown; state: string; storage: string; last_error: string | null };

/** A program that records one execution, whose outcome is the promise `globalThis.recorded`. */
export class Program {
  readonly #id = executionId();
  readonly #collector: Collector;

  constructor(collector: Collector) {
    this.#collector = collector;
  }

  /** Its text; `specifier` is what it imports, `options` more options of the recorder as JavaScript. */
  text(specifier: string, options = ""): string {
    return `import { Recorder } from ${JSON.stringify(specifier)};\n${this.script(options)}`;
  }

  /** The text without the import. */
  script(options = ""): string {
    const given = `endpoint: ${JSON.stringify(this.#collector.url)}, session: ${JSON.stringify(session())}, ${options}`;
    return `globalThis.recorded = (async () => {
      const recorder = await Recorder.start({ ${given} });
      const run = recorder.startExecution({ name: "packaged", id: ${JSON.stringify(this.#id)} });
      await run.step({ kind: "tool", name: "add", input: [1, 2] }, () => 3);
      run.complete({ output: "done" });
      const counts = await recorder.flush({ timeout_ms: 5_000 });
      const { state, storage, last_error } = recorder.status;
      await recorder.close();
      return { counts, state, storage, last_error };
    })();\n`;
  }

  /** Everything it recorded has arrived, and was kept meanwhile as `storage` says. */
  assertArrived({ storage, last_error, ...rest }: Recorded, expected: "durable" | "memory"): void {
    assert.deepEqual(rest, { counts: { stored: 3, rejected: 0, dropped: 0, pending: 0, reasons: {} }, state: "recording" });
    assert.equal(storage, expected, String(last_error));
    if (storage === "durable") assert.equal(last_error, null);
    const events = this.#collector.events(this.#id);
    assert.deepEqual(events.map(({ t, name, input, output }) => ({ t, name, input, output })), [
      { t: "start", name: "packaged", input: undefined, output: undefined },
      { t: "step", name: "add", input: [1, 2], output: 3 },
      { t: "end", name: undefined, input: undefined, output: "done" },
    ]);
  }
}
