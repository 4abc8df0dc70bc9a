// `npm run lint`: formatting, clippy, types, the OpenAPI document, and that the lock files name public registries only.
// Every check runs, whatever the others say; each one that fails blocks.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { findNode, packageCommand } from "./dependencies.mjs";
import { exitWith, say } from "./step.mjs";
import { ensureToolchain } from "./toolchain.mjs";
import { ROOT, WASM_TARGET } from "./workspace.mjs";

const NPM_REGISTRY = "https://registry.npmjs.org/";
const CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index";
const TYPESCRIPT_PROJECTS = ["scripts", "sdk-wasm/js", "www", "tests"];

async function main() {
  say("Setting up");
  // The site and the tests are typed against the SDK as published.
  await build(["sdk"]);
  const { wasmEnv } = await ensureToolchain();
  const checks = {
    "cargo fmt": () => command("cargo", ["fmt", "--all", "--check"]),
    "Cargo.lock is current": () => command("cargo", ["metadata", "--locked", "--format-version", "1"], { quiet: true }),
    "clippy, protocol": () => clippy("stepseal-protocol", ["--all-targets"]),
    // One crate a run: together they would share each other's features, as no build has them.
    "clippy, sdk-wasm": () => clippy("stepseal-sdk", ["--target", WASM_TARGET], wasmEnv),
    "clippy, edge-worker": () => clippy("stepseal-edge", ["--target", WASM_TARGET], wasmEnv),
    "clippy, wycheproof": () => clippy("stepseal-wycheproof", ["--all-targets"]),
    "OpenAPI document": openApiProblems,
    "package-lock.json": npmLockProblems,
    "Cargo.lock": cargoLockProblems,
  };
  for (const project of TYPESCRIPT_PROJECTS) {
    checks[`types, ${project}`] = () => command(findNode(), [packageCommand("typescript", "tsc"), "--noEmit", "-p", join(ROOT, project)]);
  }
  process.exitCode = await report(checks);
}

async function report(checks) {
  say("Checking");
  let failed = 0;
  for (const [title, check] of Object.entries(checks)) {
    const problems = await check();
    say(`  ${problems ? "✗" : "✓"} ${title}`);
    if (!problems) continue;
    failed += 1;
    say(problems.trimEnd().replaceAll(/^/gm, "    | "));
  }
  const total = Object.keys(checks).length;
  say(`\n${total - failed} checks passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

/** What the command said when it failed; an empty string when it went well. */
function command(program, args, { env = process.env, quiet = false } = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: ROOT, env, encoding: "utf8", maxBuffer: 64 << 20 });
  if (status === 0) return "";
  return `${quiet ? "" : stdout}${stderr}${error?.message ?? ""}` || `exit code ${status}`;
}

function clippy(crate, args, env) {
  return command("cargo", ["clippy", "--quiet", "--locked", "-p", crate, ...args, "--", "-D", "warnings"], { env });
}

/** Whether the document that the code writes is OpenAPI 3.1, and what no schema says: that operations are named once, and told. */
async function openApiProblems() {
  const { status, stdout, stderr } = spawnSync("cargo", ["run", "--quiet", "--locked", "-p", "stepseal-protocol", "--example", "openapi"], { cwd: ROOT, encoding: "utf8", maxBuffer: 64 << 20 });
  if (status !== 0) return stderr || `exit code ${status}`;
  const document = JSON.parse(stdout);
  // Here, because the set-up above installs it.
  const { Validator } = await import("@seriousme/openapi-schema-validator");
  const validator = new Validator();
  const { valid, errors } = await validator.validate(JSON.parse(stdout));
  const problems = valid ? [] : [typeof errors === "string" ? errors : JSON.stringify(errors, null, 2)];
  const names = new Set();
  const used = new Set([...stdout.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));
  for (const name of used) if (!document.components.schemas[name]) problems.push(`there is no schema ${name}`);
  for (const name of Object.keys(document.components.schemas)) if (!used.has(name)) problems.push(`nothing uses the schema ${name}`);
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, { operationId, summary, parameters }] of Object.entries(item)) {
      if (names.has(operationId)) problems.push(`${operationId} names two operations`);
      names.add(operationId);
      if (!summary?.endsWith(".")) problems.push(`${method} ${path} has no sentence that says what it does`);
      const inPath = parameters.filter((parameter) => parameter.in === "path").map(({ name }) => `{${name}}`);
      if (inPath.join() !== (path.match(/\{\w+\}/g) ?? []).join()) problems.push(`${method} ${path} names other parameters than its path`);
    }
  }
  return problems.join("\n");
}

function npmLockProblems() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const problems = [];
  for (const [path, entry] of Object.entries(packages)) {
    if (entry.resolved && !entry.resolved.startsWith(NPM_REGISTRY)) problems.push(`${path} comes from ${entry.resolved}`);
    // Without an entry for every platform, `npm ci` refuses the lock file.
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (!packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`]) problems.push(`${path} wants ${name}, which has no entry`);
    }
  }
  return problems.join("\n");
}

function cargoLockProblems() {
  const lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  return [...lock.matchAll(/^source = "([^"]+)"$/gm)]
    .filter(([, source]) => source !== CRATES_IO)
    .map(([, source]) => `a package comes from ${source}`)
    .join("\n");
}

await main().catch(exitWith);
