// sdk-wasm/pkg: the npm package `stepseal`. The crate stepseal-sdk is compiled and shrunk; the
// TypeScript face is bundled beside it with its declarations. Ends by saying what the page will pay.

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { findNode, nodeEnv, packageCommand } from "./dependencies.mjs";
import { capture, runLogged, say, StepFailure } from "./step.mjs";
import { ROOT, WASM_TARGET } from "./workspace.mjs";

const CRATE = join(ROOT, "sdk-wasm");
const PACKAGE = join(CRATE, "pkg");
const PROFILE = "sdk";

/** SHA-256 as a loop: a quarter of the unrolled one's size. Only here, so that the worker keeps the faster one. */
const RUST_FLAGS = '--cfg sha2_backend="soft" --cfg sha2_backend_soft="compact"';

/** What every engine since Safari 15 has. Not `--all-features`: that may emit what no engine reads yet. */
const WASM_FEATURES = ["bulk-memory", "bulk-memory-opt", "multivalue", "mutable-globals", "nontrapping-float-to-int", "sign-ext"].map((feature) => `--enable-${feature}`);

/** Found by trying: flattening first and looping anew saves 2 % of brotli. Nothing lies below address 1024: the stack does, and it never gets there. */
const WASM_PASSES = ["--low-memory-unused", "--flatten", "--rereloop", "-Oz", "-Oz", "--converge", "--reorder-functions"];

/** The package must not grow beyond this, in bytes of brotli: code and wasm together. */
const BUDGET = 25_000;

/** @param {Awaited<ReturnType<typeof import("./toolchain.mjs").ensureToolchain>>} tools */
export async function buildSdk(tools) {
  rmSync(PACKAGE, { recursive: true, force: true });
  mkdirSync(PACKAGE, { recursive: true });
  await compileWasm(tools);
  await bundleFace();
  await reportSize();
}

async function compileWasm({ wasmEnv }) {
  const advice = "read the compiler's message above; after fixing it, run `npm run build -- sdk`.";
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const env = { ...wasmEnv, RUSTFLAGS: `${wasmEnv.RUSTFLAGS ?? ""} ${RUST_FLAGS}`.trim() };
  await runLogged("Compiling stepseal-sdk", "cargo", ["build", "--profile", PROFILE, "-p", "stepseal-sdk", "--target", WASM_TARGET], { log: "build-sdk-cargo", env, advice });
  const compiled = join(target, WASM_TARGET, PROFILE, "stepseal_sdk.wasm");
  const strip = ["--strip-debug", "--strip-producers", "--strip-target-features"];
  await runLogged("wasm-opt", findNode(), [packageCommand("binaryen", "wasm-opt"), ...WASM_PASSES, ...WASM_FEATURES, ...strip, compiled, "-o", join(PACKAGE, "stepseal_bg.wasm")], { log: "build-sdk-wasm-opt" });
}

async function bundleFace() {
  const entries = ["index", "server"].map((name) => join(CRATE, "js", `${name}.ts`));
  await runLogged("esbuild", packageCommand("esbuild"), [...entries, "--bundle", "--format=esm", "--target=es2022", "--log-level=warning", `--outdir=${PACKAGE}`], { log: "build-sdk-esbuild", env: nodeEnv() });
  const declarations = ["--noEmit", "false", "--emitDeclarationOnly", "--outDir", PACKAGE];
  await runLogged("tsc", findNode(), [packageCommand("typescript", "tsc"), "-p", join(CRATE, "js"), ...declarations], { log: "build-sdk-tsc" });
  for (const file of ["package.json", "README.md"]) copyFileSync(join(CRATE, file), join(PACKAGE, file));
  if (existsSync(join(ROOT, "LICENSE"))) copyFileSync(join(ROOT, "LICENSE"), join(PACKAGE, "LICENSE"));
}

/** The default entry as a bundler ships it: minified code, and the wasm beside it. */
async function reportSize() {
  const code = await capture(packageCommand("esbuild"), [join(PACKAGE, "index.js"), "--minify", "--format=esm", "--target=es2022"], nodeEnv());
  if (!code) throw new StepFailure("esbuild could not minify sdk-wasm/pkg/index.js.\n\nWhat to do: run `npm run build -- sdk` again.");
  const parts = [Buffer.from(code), readFileSync(join(PACKAGE, "stepseal_bg.wasm"))];
  const sum = (measure) => parts.reduce((total, part) => total + measure(part).length, 0);
  const brotli = sum((part) => brotliCompressSync(part));
  const kB = (bytes) => `${(bytes / 1_000).toFixed(1)} kB`;
  say(`    stepseal: ${kB(sum((part) => part))} minified, ${kB(sum((part) => gzipSync(part, { level: 9 })))} gzip, ${kB(brotli)} brotli (wasm ${kB(brotliCompressSync(parts[1]).length)})`);
  if (brotli > BUDGET) throw new StepFailure(`The SDK has outgrown its budget of ${kB(BUDGET)} brotli.\n\nWhat to do: make it smaller; scripts/build-sdk.mjs has the budget.`);
}
