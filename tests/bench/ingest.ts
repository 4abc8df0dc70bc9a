// `npm run bench -- ingest [ROUNDS]`: how many recorded steps a second become durable, beside the platform's
// floor in the same run. The airline runs, in batches of about 50 steps, 8 connections, workerd without
// wrangler's proxy. Rounds of all kinds take turns, because machines are shared; medians are stated.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { body, chain, executionId, seal, session, stepId, type Event, type Session } from "../client/batches.ts";
import { airlineRunsAbsent, readAirlineRuns, type Message, type Run } from "../fixtures/airline-runs.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const CONNECTIONS = 8;
const STEPS_PER_BATCH = 50;
const ROUNDS = Number(process.argv[2] ?? 9);
/** Requests of a round and kind: at least 1,000 batches over all rounds. */
const BATCHES_PER_ROUND = Math.ceil(1_000 / ROUNDS);
const UNLIMITED = { bytes_per_s: 1e11, bytes_burst: 1e12, steps_per_s: 1e10, steps_burst: 1e11 };
/** A clock tick of /proc, in milliseconds (USER_HZ is 100 on every Linux that Node supports). */
const TICK_MS = 10;

/** The platform alone: a handler that does nothing, one that reads its body, one that stores it as one row. */
const FLOOR_WORKER = `
export default {
  async fetch(request, env) {
    if (request.method === "GET") return new Response("ok");
    const text = await request.text();
    if (new URL(request.url).pathname === "/row") {
      await env.DB.prepare("INSERT INTO bodies (id, body) VALUES (?1, ?2)").bind(crypto.randomUUID(), text).run();
    }
    return new Response("ok");
  }
};`;

/** Events of one run after what its execution has so far: each message once, steps refer to ranges. */
function eventsOfRun(run: Run, state: { n: number; messages: number; at: number }): Event[] {
  const events: Event[] = [];
  const first = state.messages;
  const add = (event: Omit<Event, "n">) => events.push({ n: state.n++, ...event } as Event);
  const replies = run.messages.filter((message) => message.role === "tool");
  const send = (message: Message) => add({ t: "msg", i: state.messages++, v: message });
  let sent = 0;
  for (const [index, message] of run.messages.entries()) {
    if (message.role !== "assistant") continue;
    for (; sent < index; sent++) send(run.messages[sent]!);
    const id = stepId();
    const common = { at: (state.at += 5), duration_ms: 4.5, status: "ok" };
    add({ t: "step", id, kind: "llm", name: "chat", model: "gpt-4o", ...common, input: { messages: { $msgs: [[first, index]] } }, output: message, usage: { input: 900, output: 60 }, cost_usd: 0.0031 });
    for (const call of message.tool_calls ?? []) {
      const { name, arguments: text } = call.function;
      add({ t: "step", id: stepId(), parent: id, kind: "tool", name, ...common, input: JSON.parse(text), output: replies.shift()?.content, tool: { name, call_id: call.id } });
    }
  }
  return events;
}

const isStep = (event: Event) => event.t === "step";

/** Executions of at least `steps` steps each, made of whole runs. */
function executions(runs: Run[], steps: number): Event[][] {
  const all: Event[][] = [];
  let current: Event[] = [];
  let state = { n: 0, messages: 0, at: 0 };
  const open = () => {
    state = { n: 1, messages: 0, at: Date.now() };
    current = [{ t: "start", n: 0, at: state.at, name: "airline", agent: "gpt-4o" }];
  };
  open();
  for (const run of runs) {
    current.push(...eventsOfRun(run, state));
    if (current.filter(isStep).length < steps) continue;
    current.push({ t: "end", n: state.n, status: "completed", at: state.at + 5, last: state.n });
    all.push(current);
    open();
  }
  return all;
}

/** Cuts events into pieces of about 50 steps. */
function pieces(events: Event[]): Event[][] {
  const cut: Event[][] = [[]];
  let steps = 0;
  for (const event of events) {
    if (steps === STEPS_PER_BATCH && event.t !== "end") {
      cut.push([]);
      steps = 0;
    }
    cut.at(-1)!.push(event);
    if (isStep(event)) steps += 1;
  }
  return cut;
}

type Timing = { seconds: number; latencies: number[] };

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

function send(url: string, bytes?: Uint8Array): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const options = { agent, method: bytes ? "POST" : "GET", headers: bytes ? { "content-type": "text/plain", "content-length": bytes.length } : {} };
    const outgoing = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode !== 200) reject(new Error(`${url}: ${response.statusCode} ${text}`));
        else resolve(response.headers);
      });
    });
    outgoing.once("error", reject);
    outgoing.end(bytes);
  });
}

/** Runs `count` requests over 8 connections, each made just before it is sent. */
async function drive(url: string, count: number, make?: (index: number) => Uint8Array): Promise<Timing> {
  const latencies: number[] = [];
  let next = 0;
  const started = performance.now();
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    for (let index = next++; index < count; index = next++) {
      const bytes = make?.(index);
      const sent = performance.now();
      await send(url, bytes);
      latencies.push(performance.now() - sent);
    }
  }));
  return { seconds: (performance.now() - started) / 1_000, latencies };
}

function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

const median = (values: number[]) => quantile(values, 0.5);
const round = (value: number, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });

/** Process ids of the workerds that this process has started. */
function workerds(): number[] {
  const all = execFileSync("ps", ["-eo", "pid=,ppid=,comm="]).toString().trim().split("\n").map((line) => line.trim().split(/\s+/));
  return all.filter(([, parent, name]) => Number(parent) === process.pid && name === "workerd").map(([pid]) => Number(pid));
}

function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function memoryMiB(pid: number, field: "VmRSS" | "VmHWM"): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1_024;
}

async function startFloor(persist: string): Promise<{ miniflare: Miniflare; url: string }> {
  const miniflare = new Miniflare(convertV4MiniflareOptions({
    name: "floor", modules: true, script: FLOOR_WORKER, compatibilityDate: "2026-11-01", cf: false, logRequests: false,
    telemetry: { enabled: false }, log: new Log(LogLevel.WARN), resourcePersistencePath: persist, d1Databases: { DB: "DB" },
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
  } as never));
  await miniflare.ready;
  const database = await miniflare.getD1Database("DB");
  await database.prepare("CREATE TABLE bodies (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID").run();
  return { miniflare, url: String(await miniflare.unsafeGetDirectURL("floor")).replace(/\/$/, "") };
}

async function rowsWritten(url: string, pieces: Event[][], session: Session): Promise<number> {
  let rows = 0;
  for (const bytes of chain(executionId(), pieces)) {
    rows += Number((await send(`${url}/v1/batches`, seal(session, bytes)))["stepseal-rows-written"]);
  }
  return rows;
}

async function bytesOnDisk(worker: Worker): Promise<number> {
  return Number(execFileSync("du", ["-sb", worker.persist]).toString().split("\t")[0]);
}

async function main(): Promise<void> {
  if (airlineRunsAbsent) return console.log(`bench ingest ${airlineRunsAbsent}`);
  const runs = readAirlineRuns();
  const worker = await Worker.start({ bindings: { STEPSEAL_DIAGNOSTICS: "1" } });
  const workerPid = workerds()[0]!;
  const floorHome = mkdtempSync(join(tmpdir(), "stepseal-floor-"));
  const floor = await startFloor(floorHome);
  try {
    const project = await worker.createProject("prj_bench", { limits: UNLIMITED });
    await measure(worker, workerPid, await worker.directUrl(), floor.url, runs, project);
  } finally {
    agent.destroy();
    await floor.miniflare.dispose();
    rmSync(floorHome, { recursive: true });
    await worker.stop();
  }
}

async function measure(worker: Worker, pid: number, url: string, floorUrl: string, runs: Run[], project: Project): Promise<void> {
  const templates = executions(runs, STEPS_PER_BATCH).map((events) => ({ events, steps: events.filter(isStep).length }));
  const bodies = templates.map(({ events }) => body("run_00000000000000000000000000000000", events).toString());
  const fresh = () => session(project.secret, project.id, project.kid);
  let mine = fresh();
  const make = (index: number) => {
    const text = bodies[index % bodies.length]!.replace("run_00000000000000000000000000000000", executionId());
    return seal(mine, Buffer.from(text));
  };
  const stepsOf = (count: number) => Array.from({ length: count }, (_, index) => templates[index % templates.length]!.steps).reduce((a, b) => a + b);
  const meanBytes = bodies.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / bodies.length;

  const long = pieces(executions(runs, 500)[0]!);
  const oneBatchRows = await rowsWritten(url, [templates[0]!.events], mine);
  const longSteps = long.flat().filter(isStep).length;
  const longRows = await rowsWritten(url, long, mine);

  // Warm up: compile, open connections, fill caches.
  await drive(`${url}/v1/batches`, 60, make);
  await drive(`${floorUrl}/row`, 60, (index) => Buffer.from(bodies[index % bodies.length]!));
  const diskBefore = await bytesOnDisk(worker);

  const results: Record<"empty" | "floorEmpty" | "read" | "row" | "ingest", Timing[]> = { empty: [], floorEmpty: [], read: [], row: [], ingest: [] };
  const cpu = { empty: 0, ingest: 0 };
  const plain = (index: number) => Buffer.from(bodies[index % bodies.length]!);
  for (let turn = 0; turn < ROUNDS; turn++) {
    mine = fresh();
    const before = cpuMs(pid);
    results.empty.push(await drive(`${url}/healthz`, BATCHES_PER_ROUND));
    const between = cpuMs(pid);
    results.ingest.push(await drive(`${url}/v1/batches`, BATCHES_PER_ROUND, make));
    cpu.empty += between - before;
    cpu.ingest += cpuMs(pid) - between;
    results.floorEmpty.push(await drive(floorUrl, BATCHES_PER_ROUND));
    results.read.push(await drive(floorUrl, BATCHES_PER_ROUND, plain));
    results.row.push(await drive(`${floorUrl}/row`, BATCHES_PER_ROUND, plain));
  }

  const batches = ROUNDS * BATCHES_PER_ROUND;
  const steps = stepsOf(BATCHES_PER_ROUND);
  const disk = (await bytesOnDisk(worker)) - diskBefore;
  const perSecond = (timings: Timing[]) => median(timings.map(({ seconds }) => BATCHES_PER_ROUND / seconds));
  const stepsPerSecond = results.ingest.map(({ seconds }) => steps / seconds);
  const latencies = results.ingest.flatMap((timing) => timing.latencies);
  const line = (what: string, value: string) => console.log(`${what.padEnd(46)}${value}`);
  console.log(`\n${batches} batches of ${round(steps / BATCHES_PER_ROUND, 1)} steps and ${round(meanBytes / 1_000, 1)} kB, ${CONNECTIONS} connections, ${ROUNDS} rounds; load before ${round(loadavg()[1]!, 2)}\n`);
  line("steps durable a second, median", `${round(median(stepsPerSecond))}   (rounds ${round(Math.min(...stepsPerSecond))} to ${round(Math.max(...stepsPerSecond))}; goal 5,000)`);
  line("batches a second, median", round(perSecond(results.ingest), 1));
  line("a batch, ms", `p50 ${round(quantile(latencies, 0.5), 1)}   p99 ${round(quantile(latencies, 0.99), 1)}`);
  line("workerd's memory, MiB", `${round(memoryMiB(pid, "VmRSS"))} resident, ${round(memoryMiB(pid, "VmHWM"))} at most`);
  line("bytes on disk a step", `${round(disk / (batches * (steps / BATCHES_PER_ROUND)))}   (sent: ${round(meanBytes / (steps / BATCHES_PER_ROUND))})`);
  line("rows written, execution of one batch", `${oneBatchRows}   (goal: at most 4)`);
  line(`rows written a step, execution of ${longSteps} steps`, `${round(longRows / longSteps, 3)}   (${longRows} in ${long.length} batches; goal: at most 0.1)`);
  line("workerd's CPU a batch, ms", `${round((cpu.ingest - cpu.empty) / batches, 2)} above the empty handler's ${round(cpu.empty / batches, 2)}; store included`);
  console.log("\nthe platform's floor, requests a second, median, and how many times the batches that is");
  for (const [what, timings] of [["our worker, empty handler", results.empty], ["JavaScript worker, empty handler", results.floorEmpty], ["JavaScript worker, reads the body", results.read], ["JavaScript worker, one row a body", results.row]] as const) {
    line(`  ${what}`, `${round(perSecond(timings))}   ${round(perSecond(timings) / perSecond(results.ingest), 2)}×   p50 ${round(quantile(timings.flatMap((timing) => timing.latencies), 0.5), 1)} ms`);
  }
  console.log("\nfor context, not measured here: a popular tracing server made 149 spans a second durable with 474 MiB resident");
}

await main();
