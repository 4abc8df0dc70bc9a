// `npm run deploy`: builds, deploys the worker with the dashboard to the Cloudflare account that
// wrangler is logged in to, and migrates its database. wrangler creates the database, the KV
// namespaces and the Durable Object on the first deploy.

import { spawnSync } from "node:child_process";
import { build } from "./build.mjs";
import { findNode } from "./dependencies.mjs";
import { capture, exitWith, say, StepFailure } from "./step.mjs";
import { ROOT } from "./workspace.mjs";
import { wranglerEnv, wranglerScript } from "./wrangler.mjs";

/** How each is made. Losing the roots means that nothing stored under them verifies any more. */
const SECRETS = {
  STEPSEAL_ROOTS: `node -p 'JSON.stringify({ k1: crypto.randomBytes(32).toString("base64") })'`,
  STEPSEAL_OPERATOR_KEY: `node -p '"stepseal_operator_" + crypto.randomBytes(32).toString("hex")'`,
};

async function main() {
  await build();
  // A database that exists is migrated before the code that needs it goes live; on the first
  // deploy there is none yet.
  const exists = (await capture(findNode(), [wranglerScript(), "d1", "info", "stepseal", "--json"], wranglerEnv())) !== undefined;
  if (exists) migrate();
  if (!wrangler(["deploy"])) throw new StepFailure("wrangler deploy failed: the lines above say why.\n\nWhat to do: `npx wrangler login` if you are not logged in.");
  if (!exists) migrate();
  await namePendingSecrets();
}

async function namePendingSecrets() {
  const listed = await capture(findNode(), [wranglerScript(), "secret", "list", "--format", "json"], wranglerEnv());
  if (listed === undefined) throw new StepFailure("wrangler could not list the worker's secrets.");
  const present = new Set(JSON.parse(listed).map(({ name }) => name));
  const pending = Object.entries(SECRETS).filter(([name]) => !present.has(name));
  if (pending.length === 0) return;
  say("\nThe worker answers 503 until these secrets are set. Make each one, keep it in your password store, and paste it:");
  for (const [name, make] of pending) say(`  ${make}\n  npx wrangler secret put ${name}`);
}

function migrate() {
  if (!wrangler(["d1", "migrations", "apply", "DB", "--remote"])) throw new StepFailure("The database was not migrated: the lines above say why.\n\nWhat to do: run `npm run deploy` again once that is mended.");
}

function wrangler(args) {
  return spawnSync(findNode(), [wranglerScript(), ...args], { cwd: ROOT, env: wranglerEnv(), stdio: "inherit" }).status === 0;
}

await main().catch(exitWith);
