import wasm from "./stepseal_bg.wasm";
import type { WasmSource } from "./types.js";

/** The core as Cloudflare Workers have it: they compile no bytes, but import modules. Replaces default-wasm.ts. */
export function defaultWasm(): WasmSource {
  return wasm;
}

/** What is at a place that the host names. */
export const openWasm = (url: URL | string): Promise<Response> => fetch(url);
