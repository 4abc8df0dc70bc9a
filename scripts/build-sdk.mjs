// sdk-wasm/pkg: the npm package `stepseal`. The crate stepseal-sdk is compiled, given its
// JavaScript bindings and shrunk; the TypeScript face is bundled beside it with its declarations.

import { copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { findNode, nodeEnv, packageCommand } from "./dependencies.mjs";
import { runLogged } from "./step.mjs";
import { ROOT, WASM_TARGET } from "./workspace.mjs";

const CRATE = join(ROOT, "sdk-wasm");
const PACKAGE = join(CRATE, "pkg");
const BINDINGS = join(CRATE, "build");

/** @param {Awaited<ReturnType<typeof import("./toolchain.mjs").ensureToolchain>>} tools */
export async function buildSdk(tools) {
  rmSync(PACKAGE, { recursive: true, force: true });
  rmSync(BINDINGS, { recursive: true, force: true });
  mkdirSync(PACKAGE, { recursive: true });
  await compileWasm(tools);
  await bundleFace();
}

async function compileWasm({ wasmEnv, wasmBindgen }) {
  const advice = "read the compiler's message above; after fixing it, run `npm run build -- sdk`.";
  await runLogged("Compiling stepseal-sdk", "cargo", ["build", "--release", "-p", "stepseal-sdk", "--target", WASM_TARGET], { log: "build-sdk-cargo", env: wasmEnv, advice });
  const compiled = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), WASM_TARGET, "release", "stepseal_sdk.wasm");
  await runLogged("wasm-bindgen", wasmBindgen, ["--target", "web", "--out-dir", BINDINGS, "--out-name", "stepseal", compiled], { log: "build-sdk-bindgen" });
  const optimise = ["-Oz", join(BINDINGS, "stepseal_bg.wasm"), "-o", join(PACKAGE, "stepseal_bg.wasm")];
  await runLogged("wasm-opt", findNode(), [packageCommand("binaryen", "wasm-opt"), "--all-features", ...optimise], { log: "build-sdk-wasm-opt" });
}

async function bundleFace() {
  const entries = ["index", "server"].map((name) => join(CRATE, "js", `${name}.ts`)).filter((file) => existsSync(file));
  await runLogged("esbuild", packageCommand("esbuild"), [...entries, "--bundle", "--format=esm", "--target=es2022", "--sourcemap", "--external:*.wasm", `--outdir=${PACKAGE}`], { log: "build-sdk-esbuild", env: nodeEnv() });
  if (existsSync(join(CRATE, "js", "tsconfig.json"))) {
    await runLogged("tsc", findNode(), [packageCommand("typescript", "tsc"), "-p", join(CRATE, "js"), "--emitDeclarationOnly", "--outDir", PACKAGE], { log: "build-sdk-tsc" });
  }
  for (const file of ["package.json", "README.md"]) {
    if (existsSync(join(CRATE, file))) copyFileSync(join(CRATE, file), join(PACKAGE, file));
  }
}
