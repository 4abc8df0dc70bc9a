// `npm test [-- NAME …]`: every test there is. Rust natively, then tests/**/*.test.ts against real
// workerd and real Chromium. NAME picks `rust` or the test files whose path contains it.
// The last line is `N passed, N failed`; a suite that could not run counts as one failure.

import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "./build.mjs";
import { findNode } from "./dependencies.mjs";
import { say, StepFailure } from "./step.mjs";
import { LOCAL, ROOT } from "./workspace.mjs";
import { localWranglerEnv } from "./wrangler.mjs";

const TESTS = join(ROOT, "tests");
const COUNTS = join(LOCAL, "test-counts.json");
const RUST_SUITE = "rust";
/** They run in the browser and in workerd; tests/ runs them there, as built. */
const WASM_CRATES = ["stepseal-sdk", "stepseal-edge"];
/** A test that hangs should fail by name, not hold the run for ever. */
const TEST_TIMEOUT_MS = 600_000;

const totals = { passed: 0, failed: 0, skipped: 0 };

async function main() {
  const names = process.argv.slice(2);
  const files = testFiles().filter((file) => matches(relative(TESTS, file), names));
  const rust = matches(RUST_SUITE, names);
  if (!rust && files.length === 0) throw new StepFailure(`No test suite matches ${names.join(", ")}.\n\nWhat to do: name one of\n${suiteNames()}`);
  if (rust) await attempt("Rust tests", runRust);
  if (files.length > 0) await attempt("Worker and browser tests", () => buildAndRunNode(files));
}

const matches = (suite, names) => names.length === 0 || names.some((name) => suite.includes(name));

function testFiles() {
  return readdirSync(TESTS, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts") && !file.includes("node_modules"))
    .sort()
    .map((file) => join(TESTS, file));
}

const suiteNames = () => [RUST_SUITE, ...testFiles().map((file) => relative(TESTS, file))].map((name) => `  ${name}`).join("\n");

/** A suite that breaks is one failure, and the others still run. */
async function attempt(title, run) {
  say(`\n${title}`);
  try {
    await run();
  } catch (error) {
    fail(error);
  }
}

async function runRust() {
  let output = "";
  const args = ["test", "--workspace", "--no-fail-fast", ...WASM_CRATES.flatMap((crate) => ["--exclude", crate])];
  const code = await stream("cargo", args, process.env, (chunk) => (output += chunk));
  let failed = 0;
  for (const [, passes, failures, ignored] of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
    totals.passed += Number(passes);
    failed += Number(failures);
    totals.skipped += Number(ignored);
  }
  totals.failed += failed;
  if (code !== 0 && failed === 0) throw new StepFailure(`cargo test ended with ${code} without a failing test: the lines above say why.`);
}

async function buildAndRunNode(files) {
  await build();
  mkdirSync(LOCAL, { recursive: true });
  rmSync(COUNTS, { force: true });
  const reporters = ["--test-reporter=spec", "--test-reporter-destination=stdout", `--test-reporter=${join(ROOT, "scripts", "count-reporter.mjs")}`, `--test-reporter-destination=${COUNTS}`];
  const code = await stream(findNode(), ["--test", `--test-timeout=${TEST_TIMEOUT_MS}`, ...reporters, ...files], localWranglerEnv());
  const counts = readCounts(code);
  totals.passed += counts.passed;
  totals.failed += counts.failed + counts.cancelled;
  totals.skipped += counts.skipped + counts.todo;
  if (code !== 0 && counts.failed + counts.cancelled === 0) throw new StepFailure(`node --test ended with ${code} without a failing test.`);
}

function readCounts(code) {
  try {
    return JSON.parse(readFileSync(COUNTS, "utf8"));
  } catch {
    throw new StepFailure(`node --test ended with ${code} before it could count its tests.`);
  }
}

/** Runs a command in the terminal's sight; `onOutput` gets a copy of what it prints. */
function stream(command, args, env, onOutput) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", onOutput ? "pipe" : "inherit", "inherit"] });
    child.stdout?.setEncoding("utf8").on("data", (chunk) => {
      process.stdout.write(chunk);
      onOutput(chunk);
    });
    child.on("error", fail);
    child.on("close", (code, signal) => done(signal ?? code));
  });
}

function fail(error) {
  totals.failed += 1;
  process.stderr.write(`\n${error instanceof StepFailure ? error.message : error.stack}\n`);
}

await main().catch(fail);
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
say(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exitCode = totals.failed > 0 ? 1 : 0;
