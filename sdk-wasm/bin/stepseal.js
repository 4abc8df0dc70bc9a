#!/usr/bin/env node
// `npx stepseal`: asks a worker, follows it, exports its log, and verifies an export against checkpoints that somebody
// kept, with no server. Verifying needs Node's own cryptography only, so that it can be read in one sitting.

import { createReadStream, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ask, follow, items, linked, Misuse, readKey, Refusal, target } from "./api.js";
import { EXECUTIONS, Output, STEPS } from "./terminal.js";
import { verifyExport } from "./verify-export.js";

const USAGE = `Usage:
  stepseal list <worker url> [filters] [--limit <n>]
      Lists executions, the last 7 days' where no --from is given.
  stepseal show <worker url> <execution>
      Shows an execution's steps.
  stepseal tail <worker url> [filters]
      Follows executions as they are stored, until interrupted.
  stepseal export <worker url> > export.ndjson
      Writes the project's log up to its last checkpoint.
  stepseal export <worker url> --csv [filters] > executions.csv
      Writes the list as a table that is safe to open in a spreadsheet.
  stepseal verify <export.ndjson> --checkpoint <file> --key <verifier key>
      Proves that the export is what the checkpoint covers. --checkpoint may be given more than once; "-" reads
      the export from standard input. --key takes the key itself or a file that holds it.

Filters: --status --name --agent --pipeline --user --session --environment --release --tag --model --tool --error
--completeness --min-duration-ms --max-duration-ms --min-tokens --max-tokens --min-cost-usd --max-cost-usd --from --to
(Unix ms or a date) --sort. They mean what GET /v1/executions means by them.

The API key (viewer or admin) is taken from the environment variable STEPSEAL_KEY, or from a file of mode 600:
STEPSEAL_KEY_FILE, or ~/.config/stepseal/key. A terminal gets tables; a pipe, or --json, gets NDJSON.

The verifier key is at GET /v1/checkpoints/key, the last checkpoint at GET /v1/checkpoints/latest: keep both
where the server's operator cannot change them.

Exit codes: 0 done or verified, 1 tampered or incomplete, 2 not used as above or not reachable, 3 refused by the server.`;

const FILTERS = [
  "status", "name", "agent", "pipeline", "user", "session", "environment", "release", "tag", "model", "tool", "error", "completeness", "min-duration-ms",
  "max-duration-ms", "min-tokens", "max-tokens", "min-cost-usd", "max-cost-usd", "from", "to", "sort",
];

/** @param {string[]} args */
async function main(args) {
  const { values, positionals } = readArguments(args);
  const [command, ...operands] = positionals;
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const commands = { list: [list, 1], show: [show, 2], tail: [tail, 1], export: [exportLog, 1], verify: [verify, 1] };
  if (command === undefined || !Object.hasOwn(commands, command)) throw new Misuse(command === undefined ? "name a command" : `there is no command ${command}`);
  const [run, count] = commands[command];
  if (operands.length !== count) throw new Misuse(`${command} takes ${count === 1 ? "one operand" : `${count} operands`}`);
  return run(...operands, values);
}

/** @returns {{ values: Record<string, any>, positionals: string[] }} */
function readArguments(args) {
  const texts = [...FILTERS, "limit", "key"].map((name) => [name, { type: "string" }]);
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...Object.fromEntries(texts), checkpoint: { type: "string", multiple: true }, csv: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new Misuse(error.message);
  }
}

/** The filters among the options, as the API calls them. */
function filters(values) {
  const given = FILTERS.filter((name) => values[name] !== undefined).map((name) => [name.replaceAll("-", "_"), values[name]]);
  return Object.fromEntries(given.map(([name, value]) => [name, name === "from" || name === "to" ? milliseconds(name, value) : value]));
}

function milliseconds(name, text) {
  const ms = /^\d{5,}$/.test(text) ? Number(text) : Date.parse(text);
  if (!Number.isFinite(ms)) throw new Misuse(`--${name} is a date, such as 2026-11-21, or Unix milliseconds`);
  return String(ms);
}

const output = (columns, { json }) => new Output(process.stdout, columns, json ? { json: true } : {});

async function list(base, values) {
  const most = Number(values.limit ?? 50);
  if (!Number.isInteger(most) || most < 1) throw new Misuse("--limit is a whole number from 1");
  const out = output(EXECUTIONS, values);
  let shown = 0;
  for await (const execution of items(base, "/v1/executions", "executions", { ...filters(values), limit: String(Math.min(most, 200)) }, readKey())) {
    await out.row(execution);
    if (++shown === most) return;
  }
}

async function show(base, id, values) {
  const key = readKey();
  const path = `/v1/executions/${encodeURIComponent(id)}`;
  /** @type {any} */
  const { execution } = await (await ask(target(base, path), key)).json();
  if (values.json || !process.stdout.isTTY) await output(EXECUTIONS, values).row(execution);
  else await new Output(process.stdout, EXECUTIONS).row(execution);
  const out = output(STEPS, values);
  for await (const step of items(base, `${path}/steps`, "steps", {}, key)) await out.row(step);
}

async function tail(base, values) {
  const out = output(EXECUTIONS, values);
  for await (const message of follow(base, filters(values), readKey())) {
    if (message.type === "revoked") throw new Refusal("the key was revoked");
    if (message.type !== "batch") continue;
    await out.row(values.json || !process.stdout.isTTY ? message : message.execution);
  }
}

async function exportLog(base, values) {
  const url = values.csv ? target(base, "/v1/export/executions.csv", { ...filters(values), limit: "200" }) : target(base, "/v1/export", { limit: "200" });
  for await (const text of linked(url, readKey())) {
    if (!process.stdout.write(text)) await new Promise((done) => process.stdout.once("drain", done));
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

// Whoever reads our output may stop reading: that is no fault.
process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 2));

try {
  await main(process.argv.slice(2));
} catch (error) {
  const reason = error.cause?.message ? `${error.message}: ${error.cause.message}` : error.message;
  process.stderr.write(error instanceof Misuse ? `${reason}\n\n${USAGE}\n` : `${reason}\n`);
  process.exitCode = error instanceof Refusal ? 3 : 2;
}
