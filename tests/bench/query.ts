// `npm run bench -- query [EXECUTIONS …]`: how long the reading routes take and how many rows they read, as the store
// grows; 10,000 and 100,000 executions where nobody says otherwise, all within the default window of 7 days. 60 recorded
// executions are copied within the store, where triggers index the copies as they would index sent ones. Bodies are not
// copied: no route that is measured over many executions reads one. workerd without wrangler's proxy, one request at a time.

import { loadavg } from "node:os";
import { chain, executionId, seal, session, stepId, type Event } from "../client/batches.ts";
import { record, type Recorded } from "../client/recorded.ts";
import { quantile, round } from "../fixtures/measurement.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const DAY = 86_400_000;
const SIZES = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [10_000, 100_000];
const REQUESTS = 60;
const WARM_UP = 5;
/** Rows of one INSERT: D1 ends statements that take too long. */
const CHUNK = 2_000;
const UNLIMITED = { bytes_per_s: 1e11, bytes_burst: 1e12, steps_per_s: 1e10, steps_burst: 1e11 };

/** Goals in ms at p95, where there is one. */
const ROUTES: [title: string, path: (x: { now: number; long: string }) => string, goal?: number][] = [
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
];

/** What the copies are of: the labels of small fleets of agents, by shares that are far from even. */
function templates(now: number): Recorded[] {
  return Array.from({ length: 60 }, (_, i): Recorded => ({
    at: now, name: `name ${i % 4}`, agent: `agent ${i % 2}`, user: `user ${i % 10}`, session: `session ${i % 20}`, environment: i % 5 ? "production" : "test",
    release: `r${i % 3}`, tags: [`t${i % 6}`, "all"], model: i % 3 ? "gpt-4o" : "o3", tool: `tool ${i % 7}`,
    status: i % 12 === 1 ? "failed" : i % 30 === 3 ? "running" : "completed", duration: 3_000 + 997 * i, tokens: 900 + 310 * i, cost: i / 100, error: i % 8 === 0, ttft: 200 + i,
  }));
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

/** Copies the templates until the project has `target` executions, spread over 6.9 days. */
async function fill(worker: Worker, project: Project, ids: string[], from: number, target: number, now: number): Promise<void> {
  const database = await worker.database();
  const columns = ((await database.prepare("SELECT name FROM pragma_table_info('executions')").all()).results as { name: string }[]).map(({ name }) => name);
  const shift = `((${now} - e.started_at) - (n.value * 7919) % ${Math.floor(6.9 * DAY)})`;
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

const worker = await Worker.start();
const project = await worker.createProject("prj_bench", { limits: UNLIMITED, session_limits: UNLIMITED });
const now = Date.now() - 60_000;
const ids = await record(worker.api, project, templates(now));
const long = await sendLong(worker, project, now);
const url = await worker.directUrl();
let filled = 0;
for (const size of SIZES) {
  const started = performance.now();
  await fill(worker, project, ids, filled, size, now);
  console.log(`\n${round(size)} executions (${round(size - filled)} copied in ${round((performance.now() - started) / 1_000)} s), load ${loadavg()[0]!.toFixed(1)}`);
  filled = size;
  console.log("route                        p50 ms   p95 ms   p99 ms   rows read   goal (p95)");
  for (const [title, path, goal] of ROUTES) {
    const { p50, p95, p99, rows } = await measure(url, project.adminKey, path({ now, long }));
    const cell = (value: number) => round(value, 1).padStart(9);
    console.log(`${title.padEnd(26)}${cell(p50)}${cell(p95)}${cell(p99)}${(rows === undefined ? "" : round(rows)).padStart(12)}${goal === undefined ? "" : `   ${goal} ${p95 < goal ? "met" : "missed"}`}`);
  }
}
await worker.stop();
