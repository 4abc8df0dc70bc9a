/** esbuild copies the file beside the scripts and gives its path. */
declare module "*.wasm" {
  const path: string;
  export default path;
}
