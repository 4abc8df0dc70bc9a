// www/dist: the dashboard and the playground, bundled by esbuild. Scripts, styles and the SDK's
// wasm carry a digest of their content in their names, so that they can be cached for good.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { StepFailure } from "./step.mjs";
import { ROOT } from "./workspace.mjs";

const SITE = join(ROOT, "www");
/** Served as they are. */
const PLAIN_FILES = ["_headers", "favicon.svg"];

/**
 * @param {{ out?: string, sdk?: string }} [folders] where to write, and the SDK's package to bundle
 */
export async function buildSite({ out = join(SITE, "dist"), sdk = join(ROOT, "sdk-wasm", "pkg") } = {}) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const names = await bundle(out, sdk);
  writeFileSync(join(out, "index.html"), withBundleNames(readFileSync(join(SITE, "index.html"), "utf8"), names));
  for (const file of PLAIN_FILES) cpSync(join(SITE, file), join(out, file));
}

/** @returns {Promise<Map<string, string>>} the path in index.html of each entry point, and the one to put there */
async function bundle(out, sdk) {
  // Loaded here: this module is imported before the dependencies are installed.
  const { build } = await import("esbuild");
  const result = await build({
    absWorkingDir: SITE,
    entryPoints: { main: "src/main.ts", styles: "styles.css" },
    outdir: join(out, "assets"),
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    publicPath: "/assets",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    sourcemap: true,
    metafile: true,
    loader: { ".wasm": "file" },
    alias: { stepseal: sdk },
    logLevel: "silent",
  }).catch((error) => {
    throw new StepFailure(`The dashboard could not be bundled:\n\n${error.message}`);
  });
  const outputs = Object.entries(result.metafile.outputs).filter(([, output]) => output.entryPoint);
  const assets = join(out, "assets");
  return new Map(
    outputs.flatMap(([file, { entryPoint }]) => {
      const path = `/assets/${relative(assets, join(SITE, file))}`;
      if (entryPoint === "src/main.ts") return [["/assets/main.js", path]];
      return entryPoint === "styles.css" ? [["/assets/styles.css", path]] : [];
    }),
  );
}

function withBundleNames(html, names) {
  if (names.size !== 2) throw new Error(`expected a script and a style sheet, bundled ${[...names.values()].join(", ")}`);
  let page = html;
  for (const [placeholder, path] of names) page = page.replace(`"${placeholder}"`, `"${path}"`);
  return page;
}
