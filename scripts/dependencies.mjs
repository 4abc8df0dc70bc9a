// npm packages, and the Node that runs wrangler and the tests.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { runStep, StepFailure } from "./step.mjs";
import { withLock } from "./lock.mjs";
import { LOCAL, ROOT } from "./workspace.mjs";

const MODULES = join(ROOT, "node_modules");
const STAMP = join(MODULES, ".installed-lock");
const OLDEST_NODE = 20;
/** wrangler needs 22.12; the tests are TypeScript run as it is, which 22.18 does without a flag. */
const OLDEST_TOOL_NODE = [22, 18];

/** Installs exactly what package-lock.json says, unless that is what is installed. */
export async function ensureDependencies() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < OLDEST_NODE) throw new StepFailure(`Node ${process.versions.node} is too old.\n\nWhat to do: install Node ${OLDEST_NODE} or later from https://nodejs.org.`);
  await withLock(join(LOCAL, "npm.lock"), async () => {
    const wanted = createHash("sha256").update(readFileSync(join(ROOT, "package-lock.json"))).digest("hex");
    if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) return;
    await runStep("Installing npm packages", "npm", ["ci", "--no-audit", "--no-fund"], {
      log: "npm-ci",
      advice: "check that the npm registry can be reached (`npm ping`), then run this again.",
    });
    writeFileSync(STAMP, wanted);
  });
}

/**
 * The Node that runs wrangler and the tests: the one package-lock.json pins for this platform,
 * or the running one when that is new enough.
 */
export function findNode() {
  const pinned = pinnedNode();
  if (pinned) return pinned;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > OLDEST_TOOL_NODE[0] || (major === OLDEST_TOOL_NODE[0] && minor >= OLDEST_TOOL_NODE[1])) return process.execPath;
  throw new StepFailure(
    `No Node ${OLDEST_TOOL_NODE.join(".")} or later for ${process.platform} ${process.arch}.\n\nWhat to do: install Node 24 from https://nodejs.org and run this again.`,
  );
}

function pinnedNode() {
  const require = createRequire(join(ROOT, "package.json"));
  const prefix = process.platform === "darwin" && process.arch === "arm64" ? "node-bin" : "node";
  try {
    const manifest = require.resolve(`${prefix}-${process.platform}-${process.arch}/package.json`);
    return join(dirname(manifest), "bin", "node");
  } catch {
    // npm skips the packages of other platforms, and not every platform has one.
    return undefined;
  }
}

/** The JavaScript file behind a package's command, to be run by `findNode()`. */
export function packageCommand(name, command = name) {
  const manifestFile = join(MODULES, name, "package.json");
  const { bin } = JSON.parse(readFileSync(manifestFile, "utf8"));
  return join(dirname(manifestFile), typeof bin === "string" ? bin : bin[command]);
}

/** `env` with the pinned Node first on the path, then the packages' commands. */
export function nodeEnv(env = process.env) {
  return { ...env, PATH: [dirname(findNode()), join(MODULES, ".bin"), env.PATH].join(delimiter) };
}
