// `npm run bench -- live [MESSAGES]`: how long after the reply to its sender a batch reaches a reader of the live feed, over
// both transports, with one reader and with twenty. One batch at a time; workerd without wrangler's proxy.

import { loadavg } from "node:os";
import { body, executionId, seal, session } from "../client/batches.ts";
import { LiveReader } from "../client/live.ts";
import { eventsOf } from "../client/recorded.ts";
import { quantile, round } from "../fixtures/measurement.ts";
import { Worker } from "../fixtures/worker.ts";

const MESSAGES = Number(process.argv[2] ?? 200);
const GOAL_MS = 250;

const worker = await Worker.start();
const project = await worker.createProject("prj_bench_live");
const sender = session(project.secret, project.id, project.kid);

async function delays(open: () => Promise<LiveReader>, readers: number): Promise<number[]> {
  const all = await Promise.all(Array.from({ length: readers }, open));
  const measured: number[] = [];
  for (let i = 0; i < MESSAGES; i++) {
    const id = executionId();
    await worker.api.sendBatch(seal(sender, body(id, eventsOf({ at: Date.now() }))));
    const replied = performance.now();
    for (const reader of all) {
      const message = (await reader.until(i + 1)).at(-1);
      if (message.execution.id !== id) throw new Error("another batch came than was sent");
      measured.push(message.arrived - replied);
    }
  }
  for (const reader of all) reader.close();
  return measured;
}

console.log(`${MESSAGES} batches each, load ${round(loadavg()[0]!)}; ms from the reply to the arrival, goal ${GOAL_MS} at the median`);
for (const readers of [1, 20]) {
  for (const [transport, open] of [
    ["WebSocket", () => LiveReader.socket(worker.url, project.viewerKey)],
    ["server-sent events", () => LiveReader.events(worker.url, project.viewerKey)],
  ] as [string, () => Promise<LiveReader>][]) {
    const ms = await delays(open, readers);
    console.log(`${transport}, ${readers} reader${readers === 1 ? "" : "s"}: p50 ${round(quantile(ms, 0.5))}, p95 ${round(quantile(ms, 0.95))}, p99 ${round(quantile(ms, 0.99))}`);
  }
}
await worker.stop();
