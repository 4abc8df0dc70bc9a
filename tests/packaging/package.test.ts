// The tarball by itself: what it holds, what its types promise, and that importing it does nothing.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import { rollup } from "@rollup/wasm-node";
import { build as esbuild, transform } from "esbuild";
import { build as viteBuild } from "vite";
import webpack from "webpack";
import { packageCommand } from "../../scripts/dependencies.mjs";
import { ENTRIES, Installation, ROOT } from "./installation.ts";

const run = promisify(execFile);

let installed: Installation;
before(() => {
  installed = new Installation();
});
after(() => installed?.remove());

const read = (file: string) => readFileSync(join(installed.package, file), "utf8");

describe("the tarball", () => {
  test("holds code, types, wasm, licence and readme, and nothing else", () => {
    const files = ["LICENSE", "README.md", "bin/api.js", "bin/export-file.js", "bin/import-file.js", "bin/progress.js", "bin/stepseal.js", "bin/terminal.js", "bin/verify-export.js", "index.js", "inline.js", "node.js", "package.json", "redaction.js", "server.js", "stepseal_bg.wasm", "workerd.js"];
    assert.deepEqual(installed.files.filter((file) => !file.endsWith(".d.ts")), files);
    for (const file of ["index.d.ts", "server.d.ts"]) assert.ok(installed.files.includes(file), file);
  });

  test("has no pattern that an older engine could not even read: it would lose the host's whole bundle", async () => {
    for (const file of installed.files.filter((file) => /^\w+\.js$/.test(file))) {
      const patternsMade = (code: string) => code.split("new RegExp(").length - 1;
      const { code } = await transform(read(file), { target: "safari16" });
      assert.equal(patternsMade(code), patternsMade(read(file)), `${file} has literals of patterns that look behind`);
    }
  });

  test("depends on nothing and claims no side effects", () => {
    const { name, type, dependencies, peerDependencies, sideEffects } = JSON.parse(read("package.json"));
    assert.deepEqual({ name, type, dependencies, peerDependencies, sideEffects }, {
      name: "stepseal", type: "module", dependencies: undefined, peerDependencies: undefined, sideEffects: false,
    });
  });

  test("has every file that it exports, and declarations import only what is there", () => {
    const { exports } = JSON.parse(read("package.json"));
    const exported = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? [entry] : Object.values(entry as object)));
    for (const file of exported) assert.ok(installed.files.includes(file.slice(2)), file);
    const declarations = installed.files.filter((file) => file.endsWith(".d.ts"));
    for (const file of declarations) {
      for (const [, path] of read(file).matchAll(/from "(\.[\w./-]+)\.js"/g)) assert.ok(declarations.includes(join(dirname(file), `${path}.d.ts`)), `${file} imports ${path}`);
    }
  });
});

/** Uses every entry; each `@ts-expect-error` is an error of its own if the line below it is none. */
const TYPED_APP = `
import { Recorder, type Counts, type RecorderOptions } from "stepseal";
import { Recorder as InlineRecorder } from "stepseal/inline";
import { rules } from "stepseal/redaction";
import { mintSession, type Session } from "stepseal/server";

const session: Session = await mintSession({ project: "prj_x", kid: "k1", project_secret: "whsec_", subject: "s" });
const redaction = rules({ kinds: { phone: true }, deny: ["input.secret"], hook: (event) => (event.type === "log" ? null : undefined) });
const options: RecorderOptions = { endpoint: "https://stepseal.example.com", session, redaction, wasm: new Uint8Array(8) };
const recorder: Recorder = await Recorder.start(options);
const inline: Recorder = await InlineRecorder.start(options);
recorder.addEventListener("statuschange", () => recorder.status.state);
const run = inline.startExecution({ name: "typed" });
const three: number = await run.step({ kind: "tool", name: "add" }, () => 3);
const counts: Counts = await recorder.close();
console.log(three, counts);
// @ts-expect-error: no endpoint
await Recorder.start({ session });
// @ts-expect-error: no such kind
run.startStep({ kind: "nonsense", name: "x" });
// @ts-expect-error: the step gives a number
const text: string = await run.step({ kind: "tool", name: "add" }, () => 3);
console.log(text);
`;

describe("the types are right, libraries checked too", () => {
  const typeRoots = [join(ROOT, "node_modules", "@types")];
  const modes = {
    "in a page, with a bundler": { module: "esnext", moduleResolution: "bundler", lib: ["es2022", "dom"], types: [] },
    "in a page, with module: node16": { module: "node16", moduleResolution: "node16", lib: ["es2022", "dom"], types: [] },
    "in Node, without the DOM": { module: "nodenext", moduleResolution: "nodenext", lib: ["es2022"], types: ["node"] },
  };
  for (const [mode, options] of Object.entries(modes)) {
    test(mode, async () => {
      const compilerOptions = { strict: true, skipLibCheck: false, noEmit: true, target: "es2022", exactOptionalPropertyTypes: true, typeRoots, ...options };
      const folder = installed.app(`types ${mode}`, { "app.ts": TYPED_APP, "tsconfig.json": JSON.stringify({ compilerOptions, files: ["app.ts"] }) });
      const checked = run(process.execPath, [packageCommand("typescript", "tsc"), "-p", folder], { timeout: 60_000 });
      assert.equal(await checked.then(() => "", ({ stdout, message }) => stdout || message), "");
    });
  }
});

/** Evaluates a module where there is the language and EventTarget, and prints what it exports and what it left behind. */
const EVALUATE = `
import { readFileSync } from "node:fs";
import { createContext, SourceTextModule, SyntheticModule } from "node:vm";
const context = createContext({ EventTarget });
const before = Object.getOwnPropertyNames(context).length;
const wasm = new SyntheticModule(["default"], () => {}, { context });
const module = new SourceTextModule(readFileSync(process.argv[2], "utf8"), { context });
await module.link(() => wasm);
await module.evaluate();
console.log(JSON.stringify({ exported: Object.keys(module.namespace), left: Object.getOwnPropertyNames(context).length - before }));
`;

describe("importing does nothing", () => {
  for (const [file, exported] of [["index.js", "Recorder"], ["inline.js", "Recorder"], ["redaction.js", "rules"], ["workerd.js", "Recorder"], ["server.js", "mintSession"]] as const) {
    test(`${file} touches no global but EventTarget`, async () => {
      const folder = installed.app("evaluate", { "evaluate.mjs": EVALUATE });
      const args = ["--no-warnings", "--experimental-vm-modules", join(folder, "evaluate.mjs"), join(installed.package, file)];
      const { stdout } = await run(process.execPath, args, { timeout: 20_000 });
      assert.deepEqual(JSON.parse(stdout), { exported: [exported], left: 0 });
    });
  }

  for (const entry of [...ENTRIES, "stepseal/server"]) {
    test(`an import of ${entry} that nobody uses costs nothing`, async () => {
      const folder = installed.app(`unused ${entry}`, { "main.js": `import * as unused from "${entry}"; export const kept = 1;` });
      const input = join(folder, "main.js");
      const bundled = await esbuild({ absWorkingDir: folder, entryPoints: [input], bundle: true, format: "esm", write: false, logLevel: "silent" });
      assert.equal(bundled.outputFiles[0]!.text, "// main.js\nvar kept = 1;\nexport {\n  kept\n};\n");
      const rolled = await (await rollup({ input, plugins: [nodeResolve()] })).generate({ format: "es" });
      assert.equal(rolled.output[0].code, "const kept = 1;\n\nexport { kept };\n");
    });
  }
});

describe("a server-side bundle of a page's code can be imported", () => {
  const PAGE = (entry: string) => `import { Recorder } from "${entry}"; export const start = (options) => Recorder.start(options);`;

  async function assertImports(folder: string, file: string): Promise<void> {
    const program = `const { start } = await import(${JSON.stringify(join(folder, file))}); console.log(typeof start)`;
    const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
    assert.deepEqual([stdout, stderr], ["function\n", ""]);
  }

  for (const entry of ENTRIES) {
    test(`${entry}, made by vite`, async () => {
      const root = installed.app(`vite ssr ${entry}`, { "main.js": PAGE(entry) });
      await viteBuild({ root, configFile: false, logLevel: "error", build: { ssr: "main.js" }, ssr: { noExternal: true } });
      await assertImports(root, "dist/main.js");
    });

    test(`${entry}, made by webpack`, async () => {
      const context = installed.app(`webpack ssr ${entry}`, { "main.js": PAGE(entry) });
      const output = { path: context, filename: "server.mjs", module: true, library: { type: "module" } };
      const compiler = webpack({ mode: "production", target: "node", context, entry: "./main.js", output, experiments: { outputModule: true } });
      const stats = await new Promise<webpack.Stats>((resolve, reject) => compiler.run((error, stats) => (stats ? resolve(stats) : reject(error))));
      assert.deepEqual(stats.toJson({ all: false, errors: true }).errors, []);
      await assertImports(context, "server.mjs");
    });
  }
});
