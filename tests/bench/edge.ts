// `npm run bench -- edge`: whether the worker fits the platform's free plan. The script as deployed, gzipped, and
// the CPU of a batch of 50 steps, store included: the process's over 1,000 batches, less an empty handler's. Ends
// with an error if either does not fit.

import { readdirSync, readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { body, executionId, seal, session, stepId, type Event, type Session } from "../client/batches.ts";
import { agent, CONNECTIONS, cpuMs, drive, HAS_PROC, median, round, workerds } from "../fixtures/measurement.ts";
import { ROOT, Worker } from "../fixtures/worker.ts";

const SCRIPT_MAX = 3_000_000;
const CPU_MAX_MS = 10;
const BATCHES = 1_000;
const ROUNDS = 5;
const STEPS = 50;
const UNLIMITED = { bytes_per_s: 1e11, bytes_burst: 1e12, steps_per_s: 1e10, steps_burst: 1e11 };

/** Everything that is uploaded, each file by itself, as the platform counts. */
function scriptBytes(): number {
  const build = join(ROOT, "edge-worker", "build");
  return readdirSync(build).filter((file) => /\.(js|wasm)$/.test(file))
    .reduce((sum, file) => sum + gzipSync(readFileSync(join(build, file)), { level: 9 }).length, 0);
}

/** 50 steps of an agent: calls of a model and of tools in turns, about a kilobyte each. */
function fiftySteps(): Buffer {
  const at = Date.now();
  const step = (n: number): Event => ({
    t: "step", n, id: stepId(), kind: n % 2 === 1 ? "llm" : "tool", name: n % 2 === 1 ? "plan" : "search_flights", at: at + n, duration_ms: 12.5, status: "ok",
    input: { question: `flight ${n} `.repeat(40) }, output: { answer: `seat ${n} `.repeat(60) },
    ...(n % 2 === 1 ? { model: "gpt-4o", usage: { input: 1_000, output: 50 }, cost_usd: 0.003 } : { tool: { name: "search_flights", call_id: `call_${n}` } }),
  });
  const steps = Array.from({ length: STEPS }, (_, index) => step(index + 1));
  return body(executionId(), [{ t: "start", n: 0, at, name: "book a flight" }, ...steps, { t: "end", n: STEPS + 1, at: at + 99, status: "completed", last: STEPS + 1 }]);
}

async function cpuOf(pid: number, run: () => Promise<unknown>): Promise<number> {
  const before = cpuMs(pid);
  await run();
  return cpuMs(pid) - before;
}

async function main(): Promise<void> {
  const [load] = loadavg();
  const size = scriptBytes();
  const worker = await Worker.start();
  try {
    const project = await worker.createProject("prj_bench", { limits: UNLIMITED, session_limits: UNLIMITED });
    // A page a connection: sessions last longer than a batch.
    const sessions: Session[] = Array.from({ length: CONNECTIONS }, () => session(project.secret, project.id, project.kid));
    const [pid, url, count] = [workerds()[0]!, await worker.directUrl(), BATCHES / ROUNDS];
    const batches = () => Array.from({ length: count }, (_, index) => seal(sessions[index % CONNECTIONS]!, fiftySteps()));
    await drive(`${url}/v1/batches`, count, batches());
    const costs: number[] = [];
    for (let index = 0; index < ROUNDS; index++) {
      const bodies = batches();
      const spent = await cpuOf(pid, () => drive(`${url}/v1/batches`, count, bodies));
      const floor = await cpuOf(pid, () => drive(`${url}/healthz`, count));
      costs.push((spent - floor) / count);
    }
    report(size, costs, fiftySteps().length, load!);
  } finally {
    agent.destroy();
    await worker.stop();
  }
}

function report(size: number, costs: number[], bytes: number, load: number): void {
  const cpu = median(costs);
  console.log(`script, gzipped: ${round(size / 1_000)} kB of ${round(SCRIPT_MAX / 1_000)} kB`);
  console.log(`CPU of a batch of ${STEPS} steps (${round(bytes / 1_000, 1)} kB), less an empty handler's: ${round(cpu, 2)} ms of ${CPU_MAX_MS} ms`);
  console.log(`  ${BATCHES} batches in ${ROUNDS} rounds (${costs.map((cost) => round(cost, 2)).join(", ")} ms), ${CONNECTIONS} connections, load ${load.toFixed(1)}, D1 and Durable Objects in the same process`);
  if (size >= SCRIPT_MAX || (HAS_PROC && cpu >= CPU_MAX_MS)) {
    console.error("This does not fit the platform's free plan.");
    process.exitCode = 1;
  }
}

await main();
