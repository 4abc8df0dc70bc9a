// `npm run bench -- page [ROUNDS]`: what recording costs the page, with the SDK, OpenTelemetry and Sentry. The airline runs,
// a step a task, and steps of 1 kB in a loop, in Chromium. Every round opens a page of its own; the recorders take turns,
// because machines are shared; medians of the rounds are stated.

import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { Browser, CDPSession, Page } from "playwright-core";
import { airlineRunsAbsent, readAirlineRuns } from "../fixtures/airline-runs.ts";
import { launchBrowser } from "../fixtures/browser.ts";
import { session } from "../sdk/collector.ts";
import { Sink, type Taken } from "./page/sink.ts";

const ROUNDS = Number(process.argv[2] ?? 5);
const PAGES = join(import.meta.dirname, "page");
const PACKAGE = join(import.meta.dirname, "..", "..", "sdk-wasm", "pkg");
/** The last is the measuring itself, and is taken off where it counts. */
const KINDS = ["stepseal", "opentelemetry", "sentry", "nothing"] as const;
type Kind = (typeof KINDS)[number];

/** A round's figures. */
type Round = {
  /** Microseconds of each call. */
  runs: number[];
  loop: number[];
  /** Microseconds of the main thread a step of the runs, until all is sent, whatever they were spent on. */
  mainThread: number;
  /** The longest task while the runs were recorded and sent, in milliseconds: by the clock, and of the processor's time. */
  longestTask: { wall: number; cpu: number };
  wire: Taken;
  /** Bytes on the page's heap, array buffers and WebAssembly included: when the last step was recorded, and when all was sent. */
  heapRecorded: number;
  heapSent: number;
};

async function pages(): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const kind of KINDS) {
    const bundled = await build({
      entryPoints: [join(PAGES, `${kind}.ts`)], bundle: true, minify: true, format: "esm", target: "es2022", platform: "browser",
      charset: "utf8", write: false, logLevel: "silent", define: { "process.env.NODE_ENV": '"production"' },
    });
    files.set(`${kind}.js`, bundled.outputFiles[0]!.contents);
    files.set(`${kind}.html`, Buffer.from(`<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module" src="/${kind}.js"></script>`));
  }
  files.set("stepseal_bg.wasm", readFileSync(join(PACKAGE, "stepseal_bg.wasm")));
  files.set("runs.json", Buffer.from(JSON.stringify(readAirlineRuns().map(({ messages }) => messages))));
  return files;
}

async function heap(devtools: CDPSession): Promise<number> {
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize, backingStorageSize } = (await devtools.send("Runtime.getHeapUsage")) as { usedSize: number; backingStorageSize?: number };
  return usedSize + (backingStorageSize ?? 0);
}

/** Seconds that the page's main thread has worked. */
async function worked(devtools: CDPSession): Promise<number> {
  const { metrics } = await devtools.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "TaskDuration")!.value;
}

type PageFunctions = { prepare(url: string, session: unknown): Promise<number>; recordRuns(): Promise<number[]>; recordLoop(): Promise<number[]>; flush(): Promise<unknown> };
declare const globalThis: PageFunctions;

/** Opens a kind's page, ready to record; gives the number of its steps. */
async function open(browser: Browser, sink: Sink, kind: Kind): Promise<{ page: Page; steps: number; close(): Promise<void> }> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${sink.url}/${kind}.html`);
  const steps = await page.evaluate(([url, session]) => globalThis.prepare(url, session), [sink.url, session()] as const);
  return { page, steps, close: () => context.close() };
}

async function measure(browser: Browser, sink: Sink, kind: Kind): Promise<Round> {
  const { page, steps, close } = await open(browser, sink, kind);
  try {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Performance.enable");
    await devtools.send("HeapProfiler.enable");
    sink.take();
    const [heapBefore, workedBefore] = [await heap(devtools), await worked(devtools)];
    const runs = await page.evaluate(() => globalThis.recordRuns());
    const workedRecording = await worked(devtools);
    const heapRecorded = (await heap(devtools)) - heapBefore;
    const workedCollecting = await worked(devtools);
    await page.evaluate(() => globalThis.flush());
    const mainThread = ((workedRecording - workedBefore + (await worked(devtools)) - workedCollecting) * 1e6) / steps;
    const heapSent = (await heap(devtools)) - heapBefore;
    const wire = sink.take();
    const loop = await page.evaluate(() => globalThis.recordLoop());
    await page.evaluate(() => globalThis.flush());
    return { runs, loop, mainThread, longestTask: await longestTask(browser, sink, kind), wire, heapRecorded, heapSent };
  } finally {
    await close();
  }
}

type TraceEvent = { name: string; ph: string; pid: number; tid: number; dur?: number; tdur?: number; args: { name?: string } };

/** Traces a page of its own, since tracing costs time. */
async function longestTask(browser: Browser, sink: Sink, kind: Kind): Promise<Round["longestTask"]> {
  const { page, close } = await open(browser, sink, kind);
  try {
    await browser.startTracing(page, { categories: ["toplevel", "disabled-by-default-devtools.timeline", "devtools.timeline"] });
    await page.evaluate(async () => {
      await globalThis.recordRuns();
      await globalThis.flush();
    });
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
    const mains = new Set(traceEvents.filter(({ args, name }) => name === "thread_name" && args.name === "CrRendererMain").map(({ pid, tid }) => `${pid} ${tid}`));
    const tasks = traceEvents.filter(({ name, pid, tid }) => name === "RunTask" && mains.has(`${pid} ${tid}`));
    const longest = (micros: (task: TraceEvent) => number | undefined) => tasks.reduce((most, task) => Math.max(most, micros(task) ?? 0), 0) / 1_000;
    // Chromium's count of the processor's time is now and then more than all the time there was.
    return { wall: longest(({ dur }) => dur), cpu: longest(({ dur = 0, tdur = dur }) => Math.min(dur, tdur)) };
  } finally {
    await close();
  }
}

function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

const median = (values: number[]) => quantile(values, 0.5);

/** A row of the table: its title, how a round's figure is formed, and how many digits it is worth. */
const ROWS: [title: string, figure: (round: Round) => number, digits: number][] = [
  ["a step of the runs, µs in the call, median", ({ runs }) => median(runs), 0],
  ["  99th percentile", ({ runs }) => quantile(runs, 0.99), 0],
  ["  all of the main thread, µs a step", ({ mainThread }) => mainThread, 0],
  ["a step of 1 kB in a loop, µs, median", ({ loop }) => median(loop), 1],
  ["longest task while recording the runs, ms", ({ longestTask }) => longestTask.wall, 1],
  ["  of the processor's time", ({ longestTask }) => longestTask.cpu, 1],
  ["bytes on the wire a step", ({ wire }) => wire.bytes / wire.steps, 0],
  ["steps that arrived", ({ wire }) => wire.steps, 0],
  ["requests", ({ wire }) => wire.requests, 0],
  ["heap when the last step is recorded, kB", ({ heapRecorded }) => heapRecorded / 1_000, 0],
  ["heap when all is sent, kB", ({ heapSent }) => heapSent / 1_000, 0],
];

function print(rounds: Record<Kind, Round[]>): void {
  console.log(`\n${"".padEnd(46)}${KINDS.map((kind) => kind.padStart(15)).join("")}`);
  for (const [title, figure, digits] of ROWS) {
    const cells = KINDS.map((kind) => {
      const value = median(rounds[kind].map(figure));
      return (Number.isFinite(value) ? value.toLocaleString("en", { maximumFractionDigits: digits }) : "").padStart(15);
    });
    console.log(title.padEnd(46) + cells.join(""));
  }
  const mid = (kind: Kind, figure: (round: Round) => number) => median(rounds[kind].map(figure));
  const perStep = ({ wire }: Round) => wire.bytes / wire.steps;
  const goal = (what: string, value: number, most: number, digits: number) =>
    console.log(`  ${value <= most ? "✓" : "✗"} ${what}: ${value.toFixed(digits)}, goal at most ${most}`);
  console.log("\nGoals");
  goal("a step of 1 kB in a loop, µs", mid("stepseal", ({ loop }) => median(loop)), 20, 1);
  // By the clock it holds what else the machine did meanwhile.
  goal("longest task, ms of the processor's time", mid("stepseal", ({ longestTask }) => longestTask.cpu), 5, 1);
  goal("bytes on the wire, of OpenTelemetry's", mid("stepseal", perStep) / mid("opentelemetry", perStep), 0.1, 3);
}

async function main(): Promise<void> {
  if (airlineRunsAbsent) return console.log(`bench page ${airlineRunsAbsent}`);
  const sink = await Sink.start(await pages());
  const browser = await launchBrowser();
  const before = loadavg()[0]!;
  try {
    const rounds: Record<Kind, Round[]> = { stepseal: [], opentelemetry: [], sentry: [], nothing: [] };
    for (let turn = 0; turn < ROUNDS; turn++) {
      for (const kind of KINDS) rounds[kind].push(await measure(browser, sink, kind));
    }
    console.log(`\nThe airline runs in Chromium ${browser.version()}, ${ROUNDS} rounds; load before ${before.toFixed(2)}, after ${loadavg()[0]!.toFixed(2)}`);
    print(rounds);
  } finally {
    await browser.close();
    await sink.stop();
  }
}

await main();
