#!/usr/bin/env node
// `npx stepseal`: asks a worker, follows it, moves what it holds to a file and back, and verifies an export against checkpoints
// or attestations, with no server. Verifying needs Node's own cryptography only, so that it can be read in one sitting.

import { createReadStream, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ask, follow, items, Misuse, pages, readKey, Refusal, target } from "./api.js";
import { exportToFile } from "./export-file.js";
import { importFile, WELL } from "./import-file.js";
import { CHECKED, COUNTS, EXECUTIONS, Output, STEPS } from "./terminal.js";
import { verifyExport } from "./verify-export.js";

const USAGE = `Usage:
  stepseal list <worker url> [filters] [--limit <n>]
      Lists executions, the last 7 days' where no --from is given.
  stepseal show <worker url> <execution>
      Shows an execution's steps.
  stepseal tail <worker url> [filters]
      Follows executions as they are stored, until interrupted.
  stepseal export <worker url> [--output <file>] [--format <format>] [filters | --execution <id>] [--recipient age1…]
      Writes an export to the file, or to standard output. Formats:
        log      the project's log up to its last checkpoint, with all its batches (where nothing is filtered)
        ndjson   the batches of the executions that the filters name; like the log it can be imported
        csv      executions as a table that is safe to open in a spreadsheet
        otlp     executions as OpenTelemetry traces, one request a line
      Cut off, the same command goes on where it was: until it is whole the file is <file>.part.
      With --recipient it is encrypted before it leaves the server; to open it:
        awk '/^-----BEGIN/{n++} {print > sprintf("part-%06d.age",n)}' export.age; for f in part-*.age; do age -d -i key.txt $f; done
      --force replaces a file that is there.
  stepseal import <worker url> <file> [--key <verifier key>] [--project <id>]
      Imports an export of format log or ndjson ("-": from standard input), with an admin key. Batches that were signed
      under a root that the server does not hold need the verifier key of the log that they were exported from.
      Interrupted, the same command goes on; importing twice changes nothing. --project is for the operator's key.
  stepseal verify <export.ndjson> --key <verifier key> [--checkpoint <file>]
      Proves that an export of the log is what the checkpoint covers, or that each batch of another is what the log
      attested. --checkpoint may be given more than once; "-" reads the export from standard input. --key takes the key
      itself or a file that holds it.
  stepseal verify <worker url> <execution>
      Has the server verify an execution.

Filters: --status --name --agent --pipeline --user --session --environment --release --tag --model --tool --error
--completeness --min-duration-ms --max-duration-ms --min-tokens --max-tokens --min-cost-usd --max-cost-usd --score --min-score
--max-score --score-value --text, and but for tail --from --to (Unix ms or a date) and --sort (list only). They mean what
GET /v1/executions means by them.

The API key (viewer or admin) is taken from the environment variable STEPSEAL_KEY, or from a file of mode 600:
STEPSEAL_KEY_FILE, or ~/.config/stepseal/key. A terminal gets tables, in colour unless NO_COLOR is set; a pipe, or --json,
gets NDJSON.

The verifier key is at GET /v1/checkpoints/key, the last checkpoint at GET /v1/checkpoints/latest: keep both
where the server's operator cannot change them.

Exit codes: 0 done or verified, 1 not verified (tampered, incomplete, deleted, its key gone) or lines of an import
refused, 2 not used as above or not reachable, 3 refused by the server, 130 interrupted.`;

const FILTERS = [
  "status", "name", "agent", "pipeline", "user", "session", "environment", "release", "tag", "model", "tool", "error", "completeness", "min-duration-ms",
  "max-duration-ms", "min-tokens", "max-tokens", "min-cost-usd", "max-cost-usd", "score", "min-score",
  "max-score", "score-value", "text", "from", "to", "sort",
];

/** @param {string[]} args */
async function main(args) {
  const { values, positionals } = readArguments(args);
  const [command, ...operands] = positionals;
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const commands = { list: [list, 1], show: [show, 2], tail: [tail, 1], export: [exportAny, 1], import: [importAny, 2], verify: [verify, 1] };
  if (command === undefined || !Object.hasOwn(commands, command)) throw new Misuse(command === undefined ? "name a command" : `there is no command ${command}`);
  const [run, count] = command === "verify" && operands.length === 2 ? [verifyStored, 2] : commands[command];
  if (operands.length !== count) throw new Misuse(`${command} takes ${count === 1 ? "one operand" : `${count} operands`}`);
  return run(...operands, values);
}

/** @returns {{ values: Record<string, any>, positionals: string[] }} */
function readArguments(args) {
  const texts = [...FILTERS, "limit", "key", "format", "output", "recipient", "execution", "project"].map((name) => [name, { type: "string" }]);
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...Object.fromEntries(texts), checkpoint: { type: "string", multiple: true },
        csv: { type: "boolean" }, json: { type: "boolean" }, force: { type: "boolean" }, help: { type: "boolean", short: "h" },
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

const FORMATS = {
  log: "/v1/export", ndjson: "/v1/export/executions.ndjson", csv: "/v1/export/executions.csv", otlp: "/v1/export/traces.jsonl",
};

async function exportAny(base, values) {
  const asked = filters(values);
  const format = values.format ?? (values.csv ? "csv" : Object.keys(asked).length > 0 || values.execution ? "ndjson" : "log");
  if (!Object.hasOwn(FORMATS, format)) throw new Misuse(`--format is one of ${Object.keys(FORMATS).join(", ")}`);
  if (format === "log" && Object.keys(asked).length > 0) throw new Misuse("the log is exported whole: filters go with --format ndjson, csv or otlp");
  if (values.execution !== undefined && (format === "log" || format === "csv")) throw new Misuse("--execution goes with --format ndjson or otlp");
  const url = target(base, FORMATS[format], { ...asked, execution: values.execution, recipient: values.recipient, limit: "200" });
  const key = readKey();
  if (values.output !== undefined) return exportToFile(url, values.output, key, values);
  for await (const { text } of pages(url, key)) {
    if (!process.stdout.write(text)) await new Promise((done) => process.stdout.once("drain", done));
  }
}

async function importAny(base, file, values) {
  const path = values.project === undefined ? "/v1/project/import" : `/v1/projects/${encodeURIComponent(values.project)}/import`;
  const url = target(base, path, { key: values.key === undefined ? undefined : verifierKeyOf(values.key) });
  const counts = await importFile(url, file, readKey());
  const out = output(COUNTS, values);
  for (const [code, lines] of Object.entries(counts)) await out.row({ code, lines });
  if (Object.keys(counts).some((code) => !WELL.includes(code))) process.exitCode = 1;
}

/** The key itself, or what a file of it says. */
const verifierKeyOf = (key) => (key.includes("+") ? key : readFileSync(key, "utf8")).trim();

async function verifyStored(base, id, values) {
  const key = readKey();
  const out = output(CHECKED, values);
  const verdicts = new Set();
  let cursor;
  do {
    /** @type {any} */
    const page = await (await ask(target(base, `/v1/executions/${encodeURIComponent(id)}/verify`, { limit: "200", cursor }), key)).json();
    for (const batch of page.batches) await out.row(batch);
    verdicts.add(page.verdict);
    for (const { writer, from, to } of page.missing) process.stderr.write(`events ${from} to ${to} of writer "${writer}" are missing\n`);
    if (page.tail_unknown) process.stderr.write("some writer never said its last number\n");
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  const worst = ["tampered", "key_retired", "deleted", "incomplete"].find((verdict) => verdicts.has(verdict));
  process.stderr.write(`${worst ?? "verified"}\n`);
  if (worst !== undefined) process.exitCode = 1;
}

/** @param {string} file @param {{ checkpoint?: string[], key?: string }} options */
async function verify(file, { checkpoint: checkpoints = [], key }) {
  if (key === undefined) throw new Misuse("verify needs --key, and --checkpoint for an export of the log");
  const notes = checkpoints.map((path) => ({ name: path, text: readFileSync(path, "utf8") }));
  const input = file === "-" ? process.stdin : createReadStream(file);
  const { batches, deleted, size, faults, attested } = await verifyExport(input, notes, verifierKeyOf(key));
  if (!attested && checkpoints.length === 0) throw new Misuse("an export of the log is verified against a --checkpoint that you kept");
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  if (faults.length > 0) {
    process.exitCode = 1;
    process.stdout.write(`TAMPERED OR INCOMPLETE: ${faults.length} fault${faults.length === 1 ? "" : "s"}\n`);
    return;
  }
  if (attested) return void process.stdout.write(`verified: ${batches} batches, each as the log attested it\n`);
  process.stdout.write(`verified: ${size} log entries, ${batches} batches present, ${deleted} deleted\n`);
}

// Whatever is kept between runs is written before it is needed: there is nothing to tidy up.
process.on("SIGINT", () => {
  process.stderr.write("\ninterrupted; the same command goes on where it was, if it wrote to a file or imported one\n");
  process.exit(130);
});

// Whoever reads our output may stop reading: that is no fault.
process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 2));

try {
  await main(process.argv.slice(2));
} catch (error) {
  const reason = error.cause?.message ? `${error.message}: ${error.cause.message}` : error.message;
  process.stderr.write(error instanceof Misuse ? `${reason}\n\n${USAGE}\n` : `${reason}\n`);
  process.exitCode = error instanceof Refusal ? 3 : 2;
}
