/** What workerd makes of an import of WebAssembly. */
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}

/** All that the SDK uses of Node. */
declare module "node:fs/promises" {
  export function readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}
