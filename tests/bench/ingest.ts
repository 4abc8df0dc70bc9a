// `npm run bench -- ingest [ROUNDS]`: how many recorded steps a second become durable, beside the platform's
// floor in the same run. The airline runs, in batches of about 50 steps, 8 connections, workerd without
// wrangler's proxy. Rounds of all kinds take turns, because machines are shared; medians are stated.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { body, chain, executionId, seal, session, type Event, type Session } from "../client/batches.ts";
import { ended, executions, isStep, pieces, STEPS_PER_BATCH } from "../fixtures/airline-executions.ts";
import { airlineRunsAbsent, readAirlineRuns, type Run } from "../fixtures/airline-runs.ts";
import { agent, CONNECTIONS, cpuMs, drive, median, memoryMiB, quantile, round, send, workerds, type Timing } from "../fixtures/measurement.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const ROUNDS = Number(process.argv[2] ?? 9);
/** Requests of a round and kind: at least 1,000 batches over all rounds. */
const BATCHES_PER_ROUND = Math.ceil(1_000 / ROUNDS);
const UNLIMITED = { bytes_per_s: 1e11, bytes_burst: 1e12, steps_per_s: 1e10, steps_burst: 1e11 };

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

function bytesOnDisk(worker: Worker): number {
  return Number(execFileSync("du", ["-sb", worker.persist]).toString().split("\t")[0]);
}

async function main(): Promise<void> {
  if (airlineRunsAbsent) return console.log(`bench ingest ${airlineRunsAbsent}`);
  const runs = readAirlineRuns();
  const worker = await Worker.start({ bindings: { STEPSEAL_DIAGNOSTICS: "1" } });
  const workerPid = workerds()[0]!;
  const floorHome = mkdtempSync(join(tmpdir(), "stepseal-floor-"));
  const floor = await startFloor(floorHome);
  const floorPid = workerds().find((pid) => pid !== workerPid)!;
  try {
    const project = await worker.createProject("prj_bench", { limits: UNLIMITED, session_limits: UNLIMITED });
    await measure(worker, { worker: workerPid, floor: floorPid }, await worker.directUrl(), floor.url, runs, project);
  } finally {
    agent.destroy();
    await floor.miniflare.dispose();
    rmSync(floorHome, { recursive: true });
    await worker.stop();
  }
}

type Kind = { what: string; url: string; pid: number; make?: (index: number) => Uint8Array; timings: Timing[]; cpuMs: number };

async function measure(worker: Worker, pids: { worker: number; floor: number }, url: string, floorUrl: string, runs: Run[], project: Project): Promise<void> {
  const [load] = loadavg();
  const placeholder = "run_00000000000000000000000000000000";
  const singles = executions(runs, STEPS_PER_BATCH).map((events) => ended(pieces(events)[0]!));
  const bodies = singles.map((events) => body(placeholder, events).toString());
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  const meanSteps = mean(Array.from({ length: BATCHES_PER_ROUND }, (_, index) => singles[index % singles.length]!.filter(isStep).length));
  const meanBytes = mean(bodies.map((text) => Buffer.byteLength(text)));
  const fresh = () => session(project.secret, project.id, project.kid);
  // A page a connection: sessions last longer than a batch.
  const pages = Array.from({ length: CONNECTIONS }, fresh);

  const long = pieces(ended(executions(runs, 500)[0]!));
  const longSteps = long.flat().filter(isStep).length;
  const oneBatchRows = await rowsWritten(url, [singles[0]!], fresh());
  const longRows = await rowsWritten(url, long, fresh());

  const plain = (index: number) => Buffer.from(bodies[index % bodies.length]!);
  const sealed = (encode: (bytes: Buffer) => Buffer) => (index: number) =>
    seal(pages[index % CONNECTIONS]!, encode(Buffer.from(bodies[index % bodies.length]!.replace(placeholder, executionId()))));
  const kind = (what: string, at: string, pid: number, make?: Kind["make"]): Kind => ({ what, url: at, pid, make, timings: [], cpuMs: 0 });
  const ingest = kind("batches, as NDJSON", `${url}/v1/batches`, pids.worker, sealed((bytes) => bytes));
  const gzipped = kind("batches, as gzip", `${url}/v1/batches`, pids.worker, sealed((bytes) => gzipSync(bytes)));
  const empty = kind("our worker, empty handler", `${url}/healthz`, pids.worker);
  const kinds = [
    ingest, gzipped, empty,
    kind("JavaScript worker, empty handler", floorUrl, pids.floor),
    kind("JavaScript worker, reads the body", floorUrl, pids.floor, plain),
    kind("JavaScript worker, one row a body", `${floorUrl}/row`, pids.floor, plain),
  ];
  // Warm up: compile, open connections, fill caches.
  const ready = ({ make }: Kind, count: number) => make && Array.from({ length: count }, (_, index) => make(index));
  for (const each of kinds) await drive(each.url, 60, ready(each, 60));
  const disk = new Map<Kind, number>([[ingest, 0], [gzipped, 0]]);
  let senderMs = 0;
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const each of kinds) {
      const bytesBefore = bytesOnDisk(worker);
      const bodies = ready(each, BATCHES_PER_ROUND);
      const [before, senderBefore] = [cpuMs(each.pid), cpuMs(process.pid)];
      each.timings.push(await drive(each.url, BATCHES_PER_ROUND, bodies));
      each.cpuMs += cpuMs(each.pid) - before;
      if (each === ingest) senderMs += cpuMs(process.pid) - senderBefore;
      if (disk.has(each)) disk.set(each, disk.get(each)! + bytesOnDisk(worker) - bytesBefore);
    }
  }

  const batches = ROUNDS * BATCHES_PER_ROUND;
  const perSecond = ({ timings }: Kind) => median(timings.map(({ seconds }) => BATCHES_PER_ROUND / seconds));
  const stepsPerSecond = ({ timings }: Kind) => timings.map(({ seconds }) => (BATCHES_PER_ROUND * meanSteps) / seconds);
  const latency = ({ timings }: Kind, q: number) => round(quantile(timings.flatMap(({ latencies }) => latencies), q), 1);
  const line = (what: string, value: string) => console.log(`${what.padEnd(46)}${value}`);
  console.log(`\n${batches} batches a kind, ${round(meanSteps, 1)} steps and ${round(meanBytes / 1_000, 1)} kB each, ${CONNECTIONS} connections, ${ROUNDS} rounds; load before ${round(load!, 2)}, after ${round(loadavg()[0]!, 2)}`);
  for (const each of [ingest, gzipped]) {
    const rates = stepsPerSecond(each);
    console.log(`\n${each.what}`);
    line("  steps durable a second, median", `${round(median(rates))}   (rounds ${round(Math.min(...rates))} to ${round(Math.max(...rates))}; goal 5,000)`);
    line("  batches a second, median", round(perSecond(each), 1));
    line("  a batch, ms", `p50 ${latency(each, 0.5)}   p99 ${latency(each, 0.99)}`);
    line("  bytes on disk a step", round(disk.get(each)! / (batches * meanSteps)));
    line("  workerd's CPU a batch, ms", `${round((each.cpuMs - empty.cpuMs) / batches, 2)} above the empty handler's ${round(empty.cpuMs / batches, 2)}; store included`);
  }
  console.log();
  line("workerd's memory, MiB", `${round(memoryMiB(pids.worker, "VmRSS"))} resident, ${round(memoryMiB(pids.worker, "VmHWM"))} at most`);
  line("rows written, execution of one batch", `${oneBatchRows}   (goal: at most 4 before facets, orders and sums)`);
  line(`rows written a step, execution of ${longSteps} steps`, `${round(longRows / longSteps, 3)}   (${longRows} in ${long.length} batches; goal: at most 0.1 before those)`);
  line("the sender's CPU a batch, ms", round(senderMs / batches, 2));
  console.log("\nthe platform's floor: requests a second, median, and how many times the batches (NDJSON) that is");
  for (const each of kinds.slice(2)) {
    line(`  ${each.what}`, `${round(perSecond(each))}   ${round(perSecond(each) / perSecond(ingest), 2)}×   p50 ${latency(each, 0.5)} ms   CPU ${round(each.cpuMs / batches, 2)} ms`);
  }
  console.log("\nfor context, not measured here: a popular tracing server made 149 spans a second durable with 474 MiB resident");
}

await main();
