// Decides whether a part of the build is up to date: a digest over its inputs' contents, kept
// beside a digest of what the build made of them.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { LOCAL, ROOT } from "./workspace.mjs";

/** Folders below an input that builds make. */
const GENERATED = new Set(["sdk-wasm/node_modules", "sdk-wasm/build", "sdk-wasm/pkg", "edge-worker/build", "www/node_modules", "www/dist"].map((path) => join(ROOT, path)));

/**
 * @param {string[]} inputs files and folders, relative to the repository
 * @returns {string} hex digest; a missing input counts as such
 */
export function fingerprint(inputs) {
  const hash = createHash("sha256");
  for (const input of [...inputs].sort()) {
    for (const file of filesBelow(join(ROOT, input))) {
      hash.update(`${relative(ROOT, file)}\0`).update(createHash("sha256").update(readFileSync(file)).digest());
    }
  }
  return hash.digest("hex");
}

/** Whether the stamp `name` was written for exactly these inputs and outputs. */
export function isFresh(name, inputs, outputs) {
  const stamp = readStamp(name);
  return stamp !== undefined && stamp.inputs === inputs && stamp.outputs === outputsDigest(outputs);
}

export function writeStamp(name, inputs, outputs) {
  const file = stampFile(name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify({ inputs, outputs: outputsDigest(outputs) }));
}

function outputsDigest(outputs) {
  const hash = createHash("sha256");
  for (const output of outputs) {
    const files = filesBelow(join(ROOT, output));
    if (files.length === 0) return "missing";
    for (const file of files) hash.update(`${relative(ROOT, file)}\0${statSync(file).size}\0`).update(readFileSync(file));
  }
  return hash.digest("hex");
}

function readStamp(name) {
  try {
    return JSON.parse(readFileSync(stampFile(name), "utf8"));
  } catch {
    // No stamp, or one cut short by a killed build: build again.
    return undefined;
  }
}

const stampFile = (name) => join(LOCAL, "build", `${name}.json`);

function filesBelow(path) {
  let stat;
  try {
    stat = statSync(path);
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
  if (stat.isFile()) return [path];
  return readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter((child) => !GENERATED.has(child))
    .flatMap((child) => filesBelow(child));
}
