#!/usr/bin/env node
// `npx stepseal`: exports a project's log, and verifies an export against checkpoints that somebody kept, with
// no server. Verifying needs Node's own cryptography only, so that it can be read in one sitting.

import { createReadStream, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { verifyExport } from "./verify-export.js";

const USAGE = `Usage:
  stepseal export <worker url> > export.ndjson
      Writes the project's log up to its last checkpoint. The API key (viewer or admin) is taken from the
      environment variable STEPSEAL_KEY.
  stepseal verify <export.ndjson> --checkpoint <file> --key <verifier key>
      Proves that the export is what the checkpoint covers. --checkpoint may be given more than once; "-" reads
      the export from standard input. --key takes the key itself or a file that holds it.

The verifier key is at GET /v1/checkpoints/key, the last checkpoint at GET /v1/checkpoints/latest: keep both
where the server's operator cannot change them.

Exit codes: 0 verified, 1 tampered or incomplete, 2 not used as above.`;

class Misuse extends Error {}

async function main(args) {
  const { values, positionals } = readArguments(args);
  const [command, target, ...more] = positionals;
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  if (target === undefined || more.length > 0) throw new Misuse("name one command and one target");
  if (command === "export") return exportLog(target);
  if (command === "verify") return verify(target, values);
  throw new Misuse(`there is no command ${command}`);
}

function readArguments(args) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { checkpoint: { type: "string", multiple: true }, key: { type: "string" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    throw new Misuse(error.message);
  }
}

async function exportLog(target) {
  const key = process.env.STEPSEAL_KEY;
  if (!key) throw new Misuse("set STEPSEAL_KEY to an API key of role viewer or admin");
  let url = new URL("/v1/export?limit=200", target);
  if (url.protocol !== "https:" && !["localhost", "127.0.0.1", "[::1]"].includes(url.hostname)) throw new Misuse("the key is sent over https only");
  for (;;) {
    const response = await fetch(url, { headers: { authorization: `Bearer ${key}` }, redirect: "error" });
    const text = await response.text();
    if (!response.ok) throw new Error(`the server answered ${response.status}: ${text}`);
    if (!process.stdout.write(text)) await new Promise((done) => process.stdout.once("drain", done));
    const next = /^<([^>]+)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
    if (next === undefined) return;
    url = new URL(next, url);
  }
}

/** @param {string} file @param {{ checkpoint?: string[], key?: string }} options */
async function verify(file, { checkpoint: checkpoints = [], key }) {
  if (checkpoints.length === 0 || key === undefined) throw new Misuse("verify needs --checkpoint and --key");
  const verifierKey = key.includes("+") ? key : readFileSync(key, "utf8");
  const notes = checkpoints.map((path) => ({ name: path, text: readFileSync(path, "utf8") }));
  const input = file === "-" ? process.stdin : createReadStream(file);
  const { batches, deleted, size, faults } = await verifyExport(input, notes, verifierKey.trim());
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  if (faults.length > 0) {
    process.exitCode = 1;
    process.stdout.write(`TAMPERED OR INCOMPLETE: ${faults.length} fault${faults.length === 1 ? "" : "s"}\n`);
    return;
  }
  process.stdout.write(`verified: ${size} log entries, ${batches} batches present, ${deleted} deleted\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(error instanceof Misuse ? `${error.message}\n\n${USAGE}\n` : `${error.message}\n`);
  process.exitCode = 2;
}
