import { readFile } from "node:fs/promises";
import type { WasmSource } from "./types.js";

/** The core where nobody says where it is, as in default-wasm.ts, which this replaces in Node. */
export function defaultWasm(): WasmSource {
  return new URL("./stepseal_bg.wasm", import.meta.url);
}

/** What is at a place that the host names. Node's fetch reads no files. */
export async function openWasm(url: URL | string): Promise<Response | BufferSource> {
  return new URL(url).protocol === "file:" ? readFile(new URL(url)) : fetch(url);
}
