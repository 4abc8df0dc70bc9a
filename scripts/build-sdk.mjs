// sdk-wasm/pkg: the npm package `stepseal`. The crate stepseal-sdk is compiled and shrunk; the
// TypeScript face is bundled beside it with its declarations. Ends by saying what the page will pay.

import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { findNode, packageCommand } from "./dependencies.mjs";
import { runLogged, say, StepFailure } from "./step.mjs";
import { ROOT, WASM_TARGET } from "./workspace.mjs";

const CRATE = join(ROOT, "sdk-wasm");
const PACKAGE = join(CRATE, "pkg");
const PROFILE = "sdk";
const WASM = join(PACKAGE, "stepseal_bg.wasm");

/** The files of the package and where each finds the wasm if its user does not say: a module of sdk-wasm/js. */
const ENTRIES = {
  index: { source: "index.ts", wasm: "default-wasm.ts" },
  inline: { source: "index.ts", wasm: "default-wasm.inline.ts" },
  redaction: { source: "redaction/entry.ts" },
  node: { source: "index.ts", wasm: "default-wasm.node.ts" },
  workerd: { source: "index.ts", wasm: "default-wasm.workerd.ts" },
  server: { source: "server.ts" },
};

/** Properties that only the SDK's own modules see and whose names nobody else has: they are shortened. */
const INTERNAL = /^(sdk_\w+|retry_after_ms|forget|note|save|lost|ask|pass|scan|watch|sampled|renewable|round_trip_ms|pump|counts|stepStarted|stepEnded|isAwaited|takeTurn|yieldTurn|comeBack|signedIn|announce|soFar|startedAt|setNote|queues|endOfString|maxEvents|maxBytes|maxWaitMs|spill|unhashed)$/;

/**
 * SHA-256 as a loop: a quarter of the unrolled one's size; only here, so that the worker keeps the faster one. Nothing here recurses,
 * so that a page need not give a megabyte for a stack. And what LLVM does to loops and branches for speed takes room, more than calls of
 * small functions do; found by trying.
 */
const LLVM_ARGS = ["-inline-threshold=45", "-disable-lsr", "-enable-pre=false"];
const RUST_FLAGS = ['-Clink-arg=-zstack-size=32768 --cfg sha2_backend="soft" --cfg sha2_backend_soft="compact"', ...LLVM_ARGS.map((arg) => `-Cllvm-args=${arg}`)].join(" ");

/** What every engine since Safari 15 has. Not `--all-features`: that may emit what no engine reads yet. */
const WASM_FEATURES = ["bulk-memory", "bulk-memory-opt", "multivalue", "mutable-globals", "nontrapping-float-to-int", "sign-ext"].map((feature) => `--enable-${feature}`);

/**
 * Of what these lack esbuild makes what they can at least read: a pattern that looks behind, which Safari has since 16.4, would
 * otherwise break the whole of a host's bundle, and not only the recorder, which then says that it is unavailable.
 */
const TARGET = ["es2022", "safari16"];

const ANEW = ["--flatten", "--rereloop", "-Oz", "-Oz"];

/** Found by trying: flattening first and looping anew saves 2 % of brotli, once more 55 bytes; to inline what is tiny 56. Nothing lies below address 1024: the stack does, and it never gets there. */
const WASM_PASSES = ["--low-memory-unused", "-aimfs", "12", ...ANEW, "--converge", "--reorder-functions", ...ANEW, "--reorder-locals", "--reorder-functions"];

/** By which order the exports get them makes 100 bytes of difference, by chance: found by trying. */
const LETTERS = "uvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst";

/** The package must not grow beyond this, in bytes of brotli: code and wasm together. */
const BUDGET = 25_000;

/** @param {Awaited<ReturnType<typeof import("./toolchain.mjs").ensureToolchain>>} tools */
export async function buildSdk(tools) {
  rmSync(PACKAGE, { recursive: true, force: true });
  mkdirSync(PACKAGE, { recursive: true });
  const names = await compileWasm(tools);
  await bundleFace(names);
  await reportSize();
}

/** Gives the short names of the wasm's exports. */
async function compileWasm({ wasmEnv }) {
  const advice = "read the compiler's message above; after fixing it, run `npm run build -- sdk`.";
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const env = { ...wasmEnv, RUSTFLAGS: `${wasmEnv.RUSTFLAGS ?? ""} ${RUST_FLAGS}`.trim() };
  await runLogged("Compiling stepseal-sdk", "cargo", ["build", "--profile", PROFILE, "-p", "stepseal-sdk", "--target", WASM_TARGET], { log: "build-sdk-cargo", env, advice });
  const compiled = join(target, WASM_TARGET, PROFILE, "stepseal_sdk.wasm");
  const names = await shortenExports(compiled, WASM);
  const strip = ["--strip-debug", "--strip-producers", "--strip-target-features"];
  await runLogged("wasm-opt", findNode(), [packageCommand("binaryen", "wasm-opt"), ...WASM_PASSES, ...WASM_FEATURES, ...strip, WASM, "-o", WASM], { log: "build-sdk-wasm-opt" });
  return names;
}

/**
 * Gives exports that begin with `sdk_`, and the memory, one letter each, and leaves out what the linker exports beside them. Gives
 * the letters by name.
 */
async function shortenExports(from, to) {
  // Loaded here: this module is imported before the dependencies are installed.
  const { default: binaryen } = await import("binaryen");
  const module = binaryen.readBinary(readFileSync(from));
  const exports = Array.from({ length: module.getNumExports() }, (_, index) => binaryen.getExportInfo(module.getExportByIndex(index)));
  /** @type {Record<string, string>} */
  const names = {};
  for (const { name, value } of exports.reverse()) {
    module.removeExport(name);
    if (name !== "memory" && !name.startsWith("sdk_")) continue;
    const short = LETTERS[Object.keys(names).length];
    if (name === "memory") module.addMemoryExport(value, (names["sdk_memory"] = short));
    else module.addFunctionExport(value, (names[name] = short));
  }
  writeFileSync(to, module.emitBinary());
  return names;
}

async function bundleFace(exportNames) {
  for (const name of Object.keys(ENTRIES)) await bundle(name, exportNames);
  const declarations = ["--noEmit", "false", "--emitDeclarationOnly", "--outDir", PACKAGE];
  await runLogged("tsc", findNode(), [packageCommand("typescript", "tsc"), "-p", join(CRATE, "js"), ...declarations], { log: "build-sdk-tsc" });
  removeUnreached(["index.d.ts", "server.d.ts", "redaction/entry.d.ts"]);
  writeFileSync(join(PACKAGE, "redaction.d.ts"), 'export * from "./redaction/entry.js";\n');
  writeFileSync(join(PACKAGE, "node.d.ts"), 'export * from "./index.js";\n');
  for (const file of ["package.json", "README.md"]) copyFileSync(join(CRATE, file), join(PACKAGE, file));
  cpSync(join(CRATE, "bin"), join(PACKAGE, "bin"), { recursive: true });
  if (existsSync(join(ROOT, "LICENSE"))) copyFileSync(join(ROOT, "LICENSE"), join(PACKAGE, "LICENSE"));
}

/**
 * @param {string} name of {@link ENTRIES}
 * @param {Record<string, string>} exportNames
 */
async function bundle(name, exportNames) {
  // Loaded here: this module is imported before the dependencies are installed.
  const { build } = await import("esbuild");
  const { source, wasm } = ENTRIES[name];
  const pickWasm = {
    name: "default-wasm",
    setup: (build) => build.onResolve({ filter: /\/default-wasm\.js$/ }, () => ({ path: join(CRATE, "js", wasm ?? "default-wasm.ts") })),
  };
  const fail = (error) => {
    throw new StepFailure(`The SDK's entry ${name} could not be bundled:\n\n${error.message}`);
  };
  const bundled = await build({
    entryPoints: [join(CRATE, "js", source)],
    bundle: true,
    format: "esm",
    target: TARGET,
    charset: "utf8",
    external: ["./stepseal_bg.wasm", "node:fs/promises"],
    define: { PACKED_WASM: JSON.stringify(packBytes(readFileSync(WASM))) },
    plugins: [pickWasm],
    minify: true,
    mangleProps: INTERNAL,
    mangleCache: { ...exportNames },
    write: false,
    logLevel: "silent",
  }).catch(fail);
  // What a page's bundler would do, and some more: names that only the SDK sees, and what terser finds beyond esbuild.
  const { minify } = await import("terser");
  const { code } = await minify(bundled.outputFiles[0].text, { module: true, ecma: 2020, compress: { passes: 3, reduce_funcs: false } }).catch(fail);
  writeFileSync(join(PACKAGE, `${name}.js`), code ?? "");
}

/**
 * Bytes as text for sdk-wasm/js/default-wasm.inline.ts: a character each, none of which is a control character. WebAssembly
 * has mostly small bytes, so that this is shorter than base64, and unlike base64 it leaves compression the bytes' patterns.
 */
function packBytes(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte < 95 ? byte + 32 : byte + 66);
  return text;
}

/** Declarations of what is internal would only invite imports. */
function removeUnreached(entries) {
  const reached = new Set(entries);
  for (const file of reached) {
    const text = readFileSync(join(PACKAGE, file), "utf8");
    for (const [, path] of text.matchAll(/(?:from|import\()\s*"(\.\.?\/[\w./-]+)\.js"/g)) reached.add(join(file, "..", `${path}.d.ts`));
  }
  for (const file of readdirSync(PACKAGE, { recursive: true, encoding: "utf8" })) if (file.endsWith(".d.ts") && !reached.has(file)) rmSync(join(PACKAGE, file));
}

/** The entries as a page loads them: the code and, where it is not within, the wasm beside it. */
async function reportSize() {
  const wasm = readFileSync(WASM);
  const code = (name) => readFileSync(join(PACKAGE, `${name}.js`));
  const brotli = report("stepseal", [code("index"), wasm], `wasm ${kB(brotliCompressSync(wasm).length)}`);
  report("stepseal/redaction", [code("redaction")]);
  report("stepseal/inline", [code("inline")]);
  if (brotli > BUDGET) throw new StepFailure(`The SDK has outgrown its budget of ${kB(BUDGET)} brotli.\n\nWhat to do: make it smaller; scripts/build-sdk.mjs has the budget.`);
}

/** Gives the size in brotli. */
function report(entry, parts, detail) {
  const sum = (measure) => parts.reduce((total, part) => total + measure(part).length, 0);
  const brotli = sum((part) => brotliCompressSync(part));
  say(`    ${entry}: ${kB(sum((part) => part))} minified, ${kB(sum((part) => gzipSync(part, { level: 9 })))} gzip, ${kB(brotli)} brotli${detail ? ` (${detail})` : ""}`);
  return brotli;
}

const kB = (bytes) => `${(bytes / 1_000).toFixed(1)} kB`;
