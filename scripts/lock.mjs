// One process at a time for work that two commands may start together (tool chain, builds).

import { spawnSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { say } from "./step.mjs";

const POLL_MS = 500;

/**
 * Holds the lock file while `work` runs. A lock whose process is gone is taken over.
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(file, work) {
  const release = await waitForLock(file);
  try {
    return await work();
  } finally {
    release();
  }
}

/**
 * Takes the lock file if nobody holds it, until `release` is called or this process ends.
 * @param {string} file
 * @returns {{ release?: () => void, holder?: number }} the one or the other
 */
export function tryLock(file) {
  mkdirSync(dirname(file), { recursive: true });
  while (!tryCreate(file)) {
    const holder = liveHolder(file);
    if (holder !== undefined) return { holder };
    rmSync(file, { force: true });
  }
  const release = () => {
    process.removeListener("exit", release);
    rmSync(file, { force: true });
  };
  process.once("exit", release);
  return { release };
}

async function waitForLock(file) {
  let announced = false;
  for (;;) {
    const { release, holder } = tryLock(file);
    if (release) return release;
    if (!announced) say(`  … waiting for process ${holder}, which is doing the same`);
    announced = true;
    await delay(POLL_MS);
  }
}

/** Created whole: a lock file never shows without its holder. */
function tryCreate(file) {
  const staging = `${file}.${process.pid}`;
  writeFileSync(staging, `${process.pid} ${startOf(process.pid)}`);
  try {
    linkSync(staging, file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(staging, { force: true });
  }
}

/** The process that holds the lock, or undefined when it is gone. */
function liveHolder(file) {
  let pid, start;
  try {
    [pid, start] = readFileSync(file, "utf8").split(" ", 2);
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
  return startOf(pid) === start ? Number(pid) : undefined;
}

/** When a process started: a process id alone may have passed to another program since. */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return afterName[19];
  } catch {
    if (existsSync("/proc/self/stat")) return "gone";
    // No /proc, as on macOS.
    const { stdout } = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" });
    return stdout?.trim().replaceAll(/\s+/g, "_") || "gone";
  }
}
