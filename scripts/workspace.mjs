// Where things are, and which versions of the build tools the workspace uses.

import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Build tools, keyed by version. STEPSEAL_TOOLS lets several clones share one folder. */
export const TOOLS = resolve(process.env.STEPSEAL_TOOLS ?? join(ROOT, ".tools"));

/** What belongs to this clone and is never committed: build stamps, secrets, the local store. */
export const LOCAL = join(ROOT, ".stepseal");

/** Where `npm start` serves unless told otherwise. */
export const DEFAULT_PORT = 8787;

export const WASM_TARGET = "wasm32-unknown-unknown";

/** worker-build must be of the `worker` crate's own version. */
export const WORKER_BUILD_VERSION = lockedVersion("worker") ?? "0.8.7";

/** The wasm-bindgen command refuses a module built with another version of the crate. */
export const WASM_BINDGEN_VERSION = lockedVersion("wasm-bindgen") ?? "0.2.130";

function lockedVersion(crate) {
  let lock;
  try {
    lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
  return new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`).exec(lock)?.[1];
}
