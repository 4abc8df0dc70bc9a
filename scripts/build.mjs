// `npm run build [-- sdk|worker|www …]`: makes sdk-wasm/pkg, edge-worker/build and www/dist.
// A part whose inputs did not change since it was built is left alone.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildSdk } from "./build-sdk.mjs";
import { buildWorker } from "./build-worker.mjs";
import { buildSite } from "./build-www.mjs";
import { ensureDependencies } from "./dependencies.mjs";
import { fingerprint, isFresh, writeStamp } from "./fingerprint.mjs";
import { withLock } from "./lock.mjs";
import { exitWith, say, step, StepFailure } from "./step.mjs";
import { ensureToolchain } from "./toolchain.mjs";
import { LOCAL } from "./workspace.mjs";

const RUST_CORE = ["Cargo.toml", "Cargo.lock", "protocol/Cargo.toml", "protocol/src"];
const BUILD_SCRIPTS = ["scripts/build.mjs", "scripts/toolchain.mjs", "package-lock.json"];

/** In build order: the site bundles the SDK's package. */
const PARTS = {
  sdk: {
    title: "Building the SDK (sdk-wasm/pkg)",
    inputs: [...RUST_CORE, ...BUILD_SCRIPTS, "sdk-wasm", "LICENSE", "scripts/build-sdk.mjs"],
    outputs: ["sdk-wasm/pkg"],
    build: buildSdk,
  },
  worker: {
    title: "Building the worker (edge-worker/build)",
    inputs: [...RUST_CORE, ...BUILD_SCRIPTS, "edge-worker", "scripts/build-worker.mjs"],
    outputs: ["edge-worker/build"],
    build: buildWorker,
  },
  www: {
    title: "Building the dashboard (www/dist)",
    inputs: ["package-lock.json", "www", "sdk-wasm/pkg", "scripts/build-www.mjs"],
    outputs: ["www/dist"],
    build: buildSite,
    after: ["sdk"],
  },
};

/**
 * Builds the named parts and what they need.
 * @param {string[]} [names] default: all
 */
export async function build(names = Object.keys(PARTS)) {
  const wanted = partsIncluding(names);
  await ensureDependencies();
  const tools = await ensureToolchain();
  await withLock(join(LOCAL, "build.lock"), async () => {
    for (const name of wanted) await buildPart(name, PARTS[name], tools);
  });
}

async function buildPart(name, part, tools) {
  const inputs = fingerprint(part.inputs);
  if (isFresh(name, inputs, part.outputs)) {
    say(`  ✓ ${part.title}: up to date`);
    return;
  }
  await step(part.title, () => part.build(tools));
  writeStamp(name, inputs, part.outputs);
}

function partsIncluding(names) {
  const unknown = names.filter((name) => !(name in PARTS));
  if (unknown.length > 0) throw new StepFailure(`No part is called ${unknown.join(", ")}.\n\nWhat to do: name any of ${Object.keys(PARTS).join(", ")}, or none for all.`);
  const wanted = new Set(names.flatMap((name) => [...(PARTS[name].after ?? []), name]));
  return Object.keys(PARTS).filter((name) => wanted.has(name));
}

// STEPSEAL_SKIP_BUILD: `npm start -- --skip-build` keeps wrangler from building as well.
if (import.meta.url === pathToFileURL(process.argv[1]).href && !process.env.STEPSEAL_SKIP_BUILD) {
  const names = process.argv.slice(2);
  await build(names.length > 0 ? names : undefined).catch(exitWith);
}
