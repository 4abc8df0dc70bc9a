import type { WasmSource } from "./types.js";

/** The core where nobody says where it is: the file beside this module. Bundlers know this expression. */
export function defaultWasm(): WasmSource {
  return new URL("./stepseal_bg.wasm", import.meta.url);
}

/** What is at a place that the host names. */
export const openWasm = (url: URL | string): Promise<Response> => fetch(url);
