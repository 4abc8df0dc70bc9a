// `npm run fuzz [-- SECONDS [TARGET …]]`: runs the fuzz targets of protocol/fuzz, each for so many seconds (20). Coverage is
// LLVM's own, so that neither cargo-fuzz nor a nightly compiler is needed; there is no address sanitiser, because
// the crate forbids unsafe code.

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { capture, exitWith, runLogged, say, StepFailure } from "./step.mjs";
import { ROOT } from "./workspace.mjs";

const FUZZ = join(ROOT, "protocol", "fuzz");
const SECONDS_DEFAULT = 20;
const COVERAGE = ["-Cpasses=sancov-module", ...["-sanitizer-coverage-level=4", "-sanitizer-coverage-inline-8bit-counters", "-sanitizer-coverage-pc-table"].map((flag) => `-Cllvm-args=${flag}`), "-Ccodegen-units=1", "-Cdebug-assertions", "-Coverflow-checks"];

async function main() {
  const [seconds = String(SECONDS_DEFAULT), ...wanted] = process.argv.slice(2);
  const known = readdirSync(join(FUZZ, "fuzz_targets")).map((file) => basename(file, ".rs")).sort();
  const unknown = wanted.filter((target) => !known.includes(target));
  if (!/^[1-9]\d*$/.test(seconds) || unknown.length > 0) throw new StepFailure(`Usage: npm run fuzz [-- SECONDS [TARGET …]]\n\nTargets: ${known.join(", ")}`);
  const host = await hostTriple();
  const advice = "read the compiler's message above.";
  await runLogged("Building the fuzz targets", "cargo", ["build", "--release", "--locked", "--target", host], { log: "build-fuzz", cwd: FUZZ, env: { ...process.env, RUSTFLAGS: COVERAGE.join(" ") }, advice });
  for (const target of wanted.length > 0 ? wanted : known) run(target, host, Number(seconds));
}

async function hostTriple() {
  const host = /^host: (.+)$/m.exec((await capture("rustc", ["-vV"])) ?? "")?.[1];
  if (!host) throw new StepFailure("Rust is missing: `rustc -vV` says nothing.\n\nWhat to do: install it from https://rustup.rs and run this again.");
  return host;
}

function run(target, host, seconds) {
  const [corpus, artifacts] = ["corpus", "artifacts"].map((folder) => join(FUZZ, folder, target));
  for (const folder of [corpus, artifacts]) mkdirSync(folder, { recursive: true });
  const program = join(FUZZ, "target", host, "release", target);
  const { status, stderr } = spawnSync(program, [`-max_total_time=${seconds}`, "-max_len=4096", "-print_final_stats=1", `-artifact_prefix=${artifacts}/`, corpus], { encoding: "utf8", maxBuffer: 256 << 20 });
  if (status !== 0) throw new StepFailure(`Fuzzing ${target} found a fault:\n\n${stderr.slice(-4_000)}\n\nWhat to do: the input is in ${artifacts}; run the target on it again.`);
  say(`  ✓ ${target}: ${/^Done (\d+) runs/m.exec(stderr)?.[1] ?? "?"} inputs in ${seconds} s`);
}

await main().catch(exitWith);
