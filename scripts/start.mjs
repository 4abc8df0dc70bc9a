// `npm start [-- --port N] [--persist DIR] [--skip-build]`: sets everything up, then serves the
// worker and the dashboard on this machine until Ctrl-C. The data stays in the persist folder.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { ensureDemoProject } from "./demo-project.mjs";
import { ensureDependencies, findNode } from "./dependencies.mjs";
import { fingerprint } from "./fingerprint.mjs";
import { localState, writePrivate } from "./local-state.mjs";
import { tryLock } from "./lock.mjs";
import { exitWith, runStep, say, step, StepFailure } from "./step.mjs";
import { DEFAULT_PORT, LOCAL, ROOT } from "./workspace.mjs";
import { localWranglerEnv, wranglerScript } from "./wrangler.mjs";

/** STEPSEAL_DEV_FILE: a second worker of the same clone, as tests start one, leaves the first one's file alone. */
const DEV_FILE = resolve(process.env.STEPSEAL_DEV_FILE ?? join(LOCAL, "dev.json"));
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
const PARENT_POLL_MS = 500;

async function main() {
  const options = readOptions();
  const state = localState(options.persist);
  const release = holdPersistFolder(options.persist);
  await requireFreePort(options.port);
  await prepare(options);
  const operatorKey = state.operatorKey();
  await applyMigrations(state);
  const worker = serve(options, state, release);
  const url = `http://127.0.0.1:${options.port}`;
  await step("Starting the worker", () => worker.ready(url));
  const project = await ensureDemoProject(url, options.port, operatorKey, state);
  writeDevFile(url, project);
  announce(url, project, options.persist);
}

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({ options: { port: { type: "string" }, persist: { type: "string" }, "skip-build": { type: "boolean" } } }));
  } catch (error) {
    throw new StepFailure(`${error.message}\n\nUsage: npm start [-- --port N] [--persist DIR] [--skip-build]`);
  }
  const port = Number(values.port ?? DEFAULT_PORT);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new StepFailure(`--port takes a number from 1 to 65535, not ${values.port}.`);
  // npm runs scripts in the repository; a relative folder is meant from where the user stands.
  const from = process.env.INIT_CWD ?? process.cwd();
  const persist = values.persist === undefined ? join(LOCAL, "state") : resolve(from, values.persist);
  return { port, persist, skipBuild: values["skip-build"] ?? false };
}

/** Two workers on one store would corrupt it. */
function holdPersistFolder(persist) {
  const lock = tryLock(join(persist, "running.lock"));
  if (lock.release) return lock.release;
  throw new StepFailure(
    `Stepseal already runs on ${persist} (process ${lock.holder}).\n\nWhat to do: use that one, stop it, or start a second one with \`npm start -- --port ${DEFAULT_PORT + 1} --persist DIR\`.`,
  );
}

function requireFreePort(port) {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", (/** @type {NodeJS.ErrnoException} */ error) => {
      const reason = error.code === "EADDRINUSE" ? "is taken by another program" : `cannot be used (${error.code})`;
      fail(new StepFailure(`Port ${port} of 127.0.0.1 ${reason}.\n\nWhat to do: stop that program, or choose another port with \`npm start -- --port N\`.`));
    });
    probe.listen(port, "127.0.0.1", () => probe.close(() => done(undefined)));
  });
}

async function prepare({ skipBuild }) {
  say("Setting up");
  if (skipBuild) await ensureDependencies();
  else await build();
}

async function applyMigrations(state) {
  const digest = fingerprint(["edge-worker/migrations"]);
  if (state.appliedMigrations() === digest) return;
  const args = [wranglerScript(), "d1", "migrations", "apply", "DB", "--local", "--persist-to", state.persist];
  await runStep("Migrating the local database", findNode(), args, {
    log: "migrations",
    env: localWranglerEnv(),
    advice: "the migration files are in edge-worker/migrations; an empty store is made with `npm start -- --persist NEW_DIR`.",
  });
  state.markMigrationsApplied(digest);
}

/** Starts wrangler; stops it, and with it this process, on Ctrl-C or SIGTERM. */
function serve({ port, skipBuild }, state, release) {
  const args = [wranglerScript(), "dev", "--ip", "127.0.0.1", "--port", String(port), "--persist-to", state.persist];
  args.push("--env-file", state.secretsFile, "--log-level", "warn", "--show-interactive-dev-session=false");
  const env = { ...localWranglerEnv(), ...(skipBuild ? { STEPSEAL_SKIP_BUILD: "1" } : {}) };
  // Its own process group: Ctrl-C reaches this process alone, which then ends all of wrangler's.
  const child = spawn(findNode(), args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  process.once("exit", () => endGroup(child.pid));
  const output = teeOutput(child);
  let stopping = false;
  const exited = new Promise((done) => child.once("exit", (code, signal) => done(signal ?? `exit code ${code}`)));
  exited.then((reason) => {
    release();
    if (stopping) return;
    exitWith(new StepFailure(`The worker stopped by itself (${reason}).\n\n${output.text()}\n\nWhat to do: run \`npm start\` again; if it stops again, read the lines above.`));
  });
  const stop = async (signal) => {
    if (stopping) return;
    stopping = true;
    say(`\nStopping (${signal})`);
    child.kill("SIGINT");
    await Promise.race([exited, delay(STOP_TIMEOUT_MS)]);
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => void stop(signal));
  if (process.env.npm_lifecycle_event) onParentEnd(() => void stop("npm ended"));
  return { ready: (url) => waitUntilHealthy(url, output) };
}

/** npm passes a SIGTERM to the shell in between, which ends without passing it on. */
function onParentEnd(then) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    then();
  }, PARENT_POLL_MS);
}

/** Shows wrangler's warnings as they come, and keeps the last of them for a failure's message. */
function teeOutput(child) {
  const kept = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (chunk) => {
      kept.push(chunk);
      if (kept.length > 50) kept.shift();
      process.stderr.write(chunk);
    });
  }
  return { text: () => kept.join("").trimEnd() };
}

async function waitUntilHealthy(url, output) {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let last = "no answer";
  while (Date.now() < deadline) {
    const response = await fetch(`${url}/healthz`).catch(() => undefined);
    if (response?.ok) return;
    if (response) last = `status ${response.status}: ${await response.text()}`;
    await delay(100);
  }
  throw new StepFailure(`${url}/healthz did not answer well within ${READY_TIMEOUT_MS / 1000} s (${last}).\n\n${output.text()}`);
}

/** Whatever wrangler left behind, such as a workerd that did not end with it. */
function endGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

function writeDevFile(url, project) {
  writePrivate(DEV_FILE, `${JSON.stringify({ url, ...project }, null, 2)}\n`);
}

function announce(url, project, persist) {
  say(`
Stepseal is running. Ctrl-C stops it; the data stays in ${persist}

  Dashboard    ${url}/
  Playground   ${url}/playground
  Viewer key   ${project.viewer_key}

  curl -H 'Authorization: Bearer ${project.viewer_key}' '${url}/v1/executions'

All keys: ${DEV_FILE}
`);
}

await main().catch(exitWith);
