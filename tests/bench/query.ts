// `npm run bench -- query [EXECUTIONS …]`: how long the reading routes take and how many rows they read, as the store
// grows; 10,000 and 100,000 executions where nobody says otherwise, all within the default window of 7 days. Up to 100,000 are
// sent, as the SDK would: the airline runs, 20 steps an execution, as gzip, with the labels of small fleets. What is beyond
// is copied within the store, where triggers index the copies as they would index sent ones; their bodies are not copied, and no
// route that is measured over many executions opens those. workerd without wrangler's proxy, one request at a time.

import { loadavg } from "node:os";
import { constants, gzipSync } from "node:zlib";
import { body, chain, executionId, seal, session, stepId, type Event } from "../client/batches.ts";
import { ended, executions } from "../fixtures/airline-executions.ts";
import { airlineRunsAbsent, readAirlineRuns } from "../fixtures/airline-runs.ts";
import { drive, quantile, round } from "../fixtures/measurement.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const DAY = 86_400_000;
const SIZES = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [10_000, 100_000];
const REQUESTS = 60;
const WARM_UP = 5;
/** Executions that are sent; what is beyond is copied. */
const SENT_MAX = 100_000;
const STEPS = 20;
/** Executions that are made ready before they are sent, and rows of one INSERT: D1 ends statements that take too long. */
const CHUNK = 2_000;
const SPREAD_MS = Math.floor(6.9 * DAY);
const UNLIMITED = { bytes_per_s: 1e11, bytes_burst: 1e12, steps_per_s: 1e10, steps_burst: 1e11 };

/** Goals in ms at p95, where there is one. */
const ROUTES: [title: string, path: (x: { now: number; long: string; one: string; other: string }) => string, goal?: number][] = [
  ["list, no filter", () => "/v1/executions", 20],
  ["list, status=failed", () => "/v1/executions?status=failed", 20],
  ["list, user", () => "/v1/executions?user=user%203", 20],
  ["list, model", () => "/v1/executions?model=gpt-4o", 20],
  ["list, tag", () => "/v1/executions?tag=t5", 20],
  ["list, tool", () => "/v1/executions?tool=tool%206", 20],
  ["list, absent name", () => "/v1/executions?name=nothing", 20],
  ["list, user and status", () => "/v1/executions?user=user%203&status=failed"],
  ["list, tokens (by rows)", () => "/v1/executions?min_tokens=1000000"],
  ["list, sort=duration", () => "/v1/executions?sort=duration"],
  ["list, sort=cost, agent", () => "/v1/executions?sort=cost&agent=agent%201"],
  ["facets", () => "/v1/facets"],
  ["sessions", () => "/v1/sessions"],
  ["users", () => "/v1/users"],
  ["stats, 7 days", () => "/v1/stats", 150],
  ["stats, model", () => "/v1/stats?model=gpt-4o"],
  ["stats by model", () => "/v1/stats?group_by=model"],
  ["stats, 2 days by hour", ({ now }) => `/v1/stats?bucket=hour&from=${now - 2 * DAY}`],
  ["stats, steps by name", () => "/v1/stats?steps=true"],
  ["execution, 60 steps", ({ long }) => `/v1/executions/${long}`, 20],
  ["its steps", ({ long }) => `/v1/executions/${long}/steps`, 20],
  ["its verification", ({ long }) => `/v1/executions/${long}/verify`],
  ["two, compared", ({ one, other }) => `/v1/executions/${one}/compare/${other}`],
  ["steps of a tool", () => "/v1/steps?tool=tool%206"],
  ["failed steps of a user", () => "/v1/steps?user=user%208&status=error"],
];

/** Execution `i`: labels of small fleets of agents, by shares that are far from even, over the steps of an airline run. */
function execution(shapes: Event[][], i: number, now: number): Event[] {
  const start = now - ((i * 7919) % SPREAD_MS);
  const shape = shapes[i % shapes.length]!;
  const shift = start - Number(shape[0]!["at"]);
  const label = i % 60;
  const model = label % 3 ? "gpt-4o" : "o3";
  const events = shape.map((event): Event => {
    const at = typeof event["at"] === "number" ? { at: event["at"] + shift } : {};
    if (event.t === "start") {
      return {
        ...event, ...at, name: `name ${label % 4}`, agent: `agent ${label % 2}`, user: `user ${label % 10}`, session: `session ${label % 20}`,
        environment: label % 5 ? "production" : "test", release: `r${label % 3}`, tags: [`t${label % 6}`, "all"],
      };
    }
    if (event["kind"] === "llm") return { ...event, ...at, model, ttft_ms: 200 + label };
    if (event["kind"] === "tool" && event["tool"]) return { ...event, ...at, tool: { name: `tool ${(label + event.n) % 7}` }, status: label % 8 ? "ok" : "error" };
    return { ...event, ...at };
  });
  if (label % 30 === 3) return events;
  const [end] = ended(events).slice(-1);
  return [...events, { ...end!, status: label % 12 === 1 ? "failed" : "completed", at: start + 3_000 + 997 * label + (i % 5_000) }];
}

/** Sends executions `from` to `target`, and gives the ids of all. */
async function sendAll(url: string, project: Project, shapes: Event[][], from: number, target: number, now: number): Promise<string[]> {
  const ids: string[] = [];
  for (let start = from; start < target; start += CHUNK) {
    // A session lives for 15 minutes.
    const sender = session(project.secret, project.id, project.kid);
    const bodies: Uint8Array[] = [];
    for (let i = start; i < Math.min(start + CHUNK, target); i++) {
      ids.push(executionId());
      bodies.push(seal(sender, gzipSync(body(ids.at(-1)!, execution(shapes, i, now)), { level: constants.Z_BEST_SPEED })));
    }
    await drive(`${url}/v1/batches`, bodies.length, bodies);
  }
  return ids;
}

/** An execution as an airline run has it: 60 steps, each with a few hundred bytes. */
function longExecution(now: number): Event[] {
  const events: Event[] = [{ t: "start", n: 0, at: now, name: "long" }];
  for (let n = 1; n <= 60; n++) events.push({ t: "step", n, id: stepId(), kind: n % 2 ? "llm" : "tool", name: `step ${n % 6}`, at: now + n, duration_ms: 3, status: "ok", input: "a question ".repeat(20), output: "an answer ".repeat(40) });
  return [...events, { t: "end", n: 61, status: "completed", at: now + 70, last: 61 }];
}

async function sendLong(worker: Worker, project: Project, now: number): Promise<string> {
  const id = executionId();
  const sender = session(project.secret, project.id, project.kid);
  for (const bytes of chain(id, [longExecution(now)])) await worker.api.sendBatch(seal(sender, bytes));
  return id;
}

/** Copies the executions `ids` until the project has `target`, spread over the same days. */
async function copy(worker: Worker, project: Project, ids: string[], from: number, target: number, now: number): Promise<void> {
  const database = await worker.database();
  const columns = ((await database.prepare("SELECT name FROM pragma_table_info('executions')").all()).results as { name: string }[]).map(({ name }) => name);
  const shift = `((${now} - e.started_at) - (n.value * 7919) % ${SPREAD_MS})`;
  const values = columns.map((name) => ({
    id: "printf('run_%032x', n.value)", started_at: `e.started_at + ${shift}`, ended_at: `e.ended_at + ${shift} + n.value % 5000`, first_token_at: `e.first_token_at + ${shift}`,
  })[name] ?? `e.${name}`);
  const sql = `INSERT INTO executions (${columns.join(", ")})
    WITH RECURSIVE n(value) AS (SELECT ?1 UNION ALL SELECT value + 1 FROM n WHERE value < ?2)
    SELECT ${values.join(", ")} FROM n CROSS JOIN json_each(?3) t ON t.key = n.value % ${ids.length} CROSS JOIN executions e ON e.project_id = '${project.id}' AND e.id = t.value`;
  for (let start = from; start < target; start += CHUNK) {
    await database.prepare(sql).bind(start, Math.min(start + CHUNK, target) - 1, JSON.stringify(ids)).run();
  }
}

type Figures = { p50: number; p95: number; p99: number; rows: number | undefined };

async function measure(url: string, key: string, path: string): Promise<Figures> {
  const times: number[] = [];
  let rows: number | undefined;
  for (let i = 0; i < WARM_UP + REQUESTS; i++) {
    const sent = performance.now();
    const response = await fetch(url + path, { headers: { authorization: `Bearer ${key}` } });
    const text = await response.text();
    if (i >= WARM_UP) times.push(performance.now() - sent);
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
    rows = JSON.parse(text).rows_read;
  }
  return { p50: quantile(times, 0.5), p95: quantile(times, 0.95), p99: quantile(times, 0.99), rows };
}

if (airlineRunsAbsent) {
  console.log(`query: ${airlineRunsAbsent}`);
  process.exit(0);
}
const worker = await Worker.start();
const project = await worker.createProject("prj_bench", { limits: UNLIMITED, session_limits: UNLIMITED });
const now = Date.now() - 60_000;
const shapes = executions(readAirlineRuns(), STEPS);
const long = await sendLong(worker, project, now);
const url = await worker.directUrl();
const ids: string[] = [];
let filled = 0;
for (const size of SIZES) {
  const started = performance.now();
  const sent = Math.min(size, SENT_MAX);
  if (filled < sent) ids.push(...(await sendAll(url, project, shapes, filled, sent, now)));
  if (size > sent) await copy(worker, project, ids.slice(0, 60), Math.max(filled, sent), size, now);
  console.log(`\n${round(size)} executions of ${STEPS} steps (${round(Math.max(sent - filled, 0))} sent, ${round(size - Math.max(filled, sent))} copied, in ${round((performance.now() - started) / 1_000)} s), load ${loadavg()[0]!.toFixed(1)}`);
  filled = size;
  console.log("route                        p50 ms   p95 ms   p99 ms   rows read   goal (p95)");
  for (const [title, path, goal] of ROUTES) {
    const { p50, p95, p99, rows } = await measure(url, project.adminKey, path({ now, long, one: ids[0]!, other: ids[60]! }));
    const cell = (value: number) => round(value, 1).padStart(9);
    console.log(`${title.padEnd(26)}${cell(p50)}${cell(p95)}${cell(p99)}${(rows === undefined ? "" : round(rows)).padStart(12)}${goal === undefined ? "" : `   ${goal} ${p95 < goal ? "met" : "missed"}`}`);
  }
}
await worker.stop();
