import type { WasmSource } from "./types.js";

/** A character a byte; written by `packBytes` of scripts/build-sdk.mjs. */
declare const PACKED_WASM: string;

/** The core as part of the code, for where no second file can be served. Replaces default-wasm.ts. */
export function defaultWasm(): WasmSource {
  return Uint8Array.from(PACKED_WASM, (character) => {
    const code = character.charCodeAt(0);
    return code < 127 ? code - 32 : code - 66;
  });
}

/** What is at a place that the host names. */
export const openWasm = (url: URL | string): Promise<Response> => fetch(url);
