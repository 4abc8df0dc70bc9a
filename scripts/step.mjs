// One long-running command: a line when it starts, a line with its duration when it ends,
// its full output in a log file, and a message that says what to do when it fails.

import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./workspace.mjs";

const LOGS = join(ROOT, ".tools", "logs");
const TAIL_LINES = 25;
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];
const HEARTBEAT_MS = 1000;

/** A failure the user can act on: shown as its message alone, without a stack. */
export class StepFailure extends Error {
  name = "StepFailure";
}

export function say(line) {
  process.stdout.write(`${line}\n`);
}

/**
 * Runs `work` under a progress line.
 * @template T
 * @param {string} title
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(title, work) {
  const started = Date.now();
  const beat = startHeartbeat(title, started);
  if (!beat) say(`  … ${title}`);
  try {
    const value = await work();
    beat?.stop();
    say(`  ✓ ${title} (${seconds(started)})`);
    return value;
  } catch (error) {
    beat?.stop();
    say(`  ✗ ${title} (${seconds(started)})`);
    throw error;
  }
}

/**
 * Runs a command as a step. Its output goes to a log file; a failure shows the end of it.
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {{ log: string, cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs?: number, advice?: string }} options
 */
export function runStep(title, command, args, options) {
  return step(title, () => runLogged(title, command, args, options));
}

/** Like runStep, without the progress line: for a command that is a part of a step. */
export async function runLogged(title, command, args, options) {
  mkdirSync(LOGS, { recursive: true });
  const logFile = join(LOGS, `${options.log}.log`);
  const outcome = await spawnToLog(command, args, logFile, options);
  if (outcome.ok) return;
  const advice = options.advice ? `\n\nWhat to do: ${options.advice}` : "";
  throw new StepFailure(
    `${title} failed: ${outcome.reason}\n` +
      `  command: ${[command, ...args].join(" ")}\n` +
      `  full log: ${logFile}\n\n${tail(logFile)}${advice}`,
  );
}

/**
 * Runs a short command and returns its trimmed output, or undefined when it failed.
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<string | undefined>}
 */
export function capture(command, args, env = process.env) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.on("error", () => done(undefined));
    child.on("close", (code) => done(code === 0 ? output.trim() : undefined));
  });
}

/** Ends the process after a failure: the message for a StepFailure, the stack for a defect. */
export function exitWith(error) {
  const text = error instanceof StepFailure ? error.message : (error?.stack ?? String(error));
  process.stderr.write(`\n${text}\n`);
  process.exit(1);
}

function spawnToLog(command, args, logFile, { cwd = ROOT, env = process.env, timeoutMs }) {
  return new Promise((done) => {
    const log = createWriteStream(logFile);
    log.write(`$ ${[command, ...args].join(" ")}\n`);
    // A tool's own backtrace would push its message out of the lines shown.
    const child = spawn(command, args, { cwd, env: { ...env, RUST_BACKTRACE: "0" }, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    let timedOut = false;
    const timer =
      timeoutMs &&
      setTimeout(() => {
        timedOut = true;
        child.kill("SIGKILL");
      }, timeoutMs);
    const unhook = endWithThisProcess(child);
    const finish = (ok, reason) => {
      clearTimeout(timer);
      unhook();
      log.end(() => done({ ok, reason }));
    };
    child.on("error", (error) => finish(false, error.message));
    child.on("close", (code, signal) => {
      if (timedOut) finish(false, `no result within ${timeoutMs / 1000} s`);
      else finish(code === 0, signal ? `ended by ${signal}` : `exit code ${code}`);
    });
  });
}

/** A command must not go on in the background when the script that runs it is ended. */
function endWithThisProcess(child) {
  const end = (signal) => {
    child.kill(signal);
    process.exit(1);
  };
  for (const signal of ENDING_SIGNALS) process.once(signal, end);
  return () => {
    for (const signal of ENDING_SIGNALS) process.removeListener(signal, end);
  };
}

function startHeartbeat(title, started) {
  if (!process.stdout.isTTY) return undefined;
  const draw = () => process.stdout.write(`\r  … ${title} (${seconds(started)})\x1b[K`);
  draw();
  const timer = setInterval(draw, HEARTBEAT_MS);
  return {
    stop() {
      clearInterval(timer);
      process.stdout.write("\r\x1b[K");
    },
  };
}

function seconds(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}

function tail(logFile) {
  const lines = readFileSync(logFile, "utf8").trimEnd().split("\n");
  return lines
    .slice(-TAIL_LINES)
    .map((line) => `  | ${line}`)
    .join("\n");
}
