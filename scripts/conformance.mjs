// `npm run conformance [-- EXAMPLES]`: schemathesis over the OpenAPI document, with keys and with signed batches:
// no 5xx, no status or content type that the document does not name. Needs Python 3.10 or later; schemathesis is
// installed into the tool chain's folder.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { findNode } from "./dependencies.mjs";
import { exitWith, runStep, StepFailure } from "./step.mjs";
import { ROOT, TOOLS } from "./workspace.mjs";
import { localWranglerEnv } from "./wrangler.mjs";

const VERSION = "4.32.5";
const HOME = join(TOOLS, `schemathesis-${VERSION}`);
const COMMAND = join(HOME, "bin", "schemathesis");

async function main() {
  const [examples = "20"] = process.argv.slice(2);
  if (!/^[1-9]\d*$/.test(examples)) throw new StepFailure("Usage: npm run conformance [-- EXAMPLES]");
  await installSchemathesis();
  await build(["worker"]);
  const { status } = spawnSync(findNode(), [join(ROOT, "tests", "conformance", "openapi.ts"), COMMAND, examples], { cwd: ROOT, env: localWranglerEnv(), stdio: "inherit" });
  process.exitCode = status ?? 1;
}

async function installSchemathesis() {
  if (existsSync(COMMAND)) return;
  const advice = "install Python 3.10 or later with its `venv`, and see that PyPI can be reached.";
  await runStep("Making a Python environment", "python3", ["-m", "venv", HOME], { log: "schemathesis-venv", advice });
  await runStep("Installing schemathesis", join(HOME, "bin", "pip"), ["install", "--quiet", `schemathesis==${VERSION}`], { log: "schemathesis-install", advice });
}

await main().catch(exitWith);
