// `npm run bench -- NAME [arguments]`: runs tests/bench/NAME.ts on fresh builds.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { findNode } from "./dependencies.mjs";
import { exitWith, StepFailure } from "./step.mjs";
import { ROOT } from "./workspace.mjs";
import { localWranglerEnv } from "./wrangler.mjs";

const BENCHES = join(ROOT, "tests", "bench");

async function main() {
  const [name, ...args] = process.argv.slice(2);
  const names = benchNames();
  if (name === undefined || !names.includes(name)) {
    const problem = name === undefined ? "Which benchmark?" : `No benchmark is called ${name}.`;
    throw new StepFailure(`${problem}\n\nUsage: npm run bench -- NAME\n${names.map((each) => `  ${each}`).join("\n")}`);
  }
  await build();
  const { status } = spawnSync(findNode(), [join(BENCHES, `${name}.ts`), ...args], { cwd: ROOT, env: localWranglerEnv(), stdio: "inherit" });
  process.exitCode = status ?? 1;
}

function benchNames() {
  if (!existsSync(BENCHES)) return [];
  return readdirSync(BENCHES)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -".ts".length))
    .sort();
}

await main().catch(exitWith);
