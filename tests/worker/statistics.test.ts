// Sums, facets, sessions, users and silence: exact against what was sent, from indexes alone.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Api } from "../client/api.ts";
import { body, chain, executionId, seal, session } from "../client/batches.ts";
import { eventsOf, record, type Recorded } from "../client/recorded.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const DAY = 86_400_000;
const NOW = Date.now();
const COUNT = 60;

let worker: Worker;
let project: Project;
let admin: Api;
let all: Recorded[];
let ids: string[];

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_stats");
  admin = worker.api.withKey(project.adminKey);
  all = Array.from({ length: COUNT }, (_, i): Recorded => ({
    at: NOW - i * 3_600_000, agent: `agent ${i % 2}`, user: `user ${i % 7}`, ...(i % 3 ? { session: `session ${i % 20}` } : {}), model: `m${i % 3}`,
    status: (["completed", "failed", "cancelled", "running"] as const)[i % 4]!, duration: 100 + 37 * i, tokens: 100 + i, cost: i / 1_000, error: i % 8 === 0, ttft: 5 + i,
  }));
  ids = await record(worker.api, project, all);
});

after(() => worker.stop());

const ended = (recorded: Recorded) => recorded.status !== "running";
const near = (found: number, exact: number, what: string) => assert.ok(Math.abs(found / exact - 1) < 0.027, `${what}: ${found} for ${exact}`);
const quantile = (values: number[], q: number) => [...values].sort((a, b) => a - b)[Math.ceil(values.length * q) - 1]!;

function assertSums(found: any, of: Recorded[]): void {
  const finished = of.filter(ended);
  assert.equal(found.executions, of.length);
  const failed = finished.filter(({ status }) => status === "failed").length;
  assert.equal(found.failure_rate, failed / finished.length);
  assert.equal(found.steps, 2 * finished.length);
  assert.equal(found.usage.output, 20 * finished.length);
  assert.equal(found.usage.input, finished.reduce((sum, { tokens }) => sum + tokens! - 20, 0));
  near(found.cost_usd + 1, finished.reduce((sum, { cost }) => sum + cost!, 1), "cost");
  for (const [name, q] of [["p50", 0.5], ["p90", 0.9], ["p95", 0.95], ["p99", 0.99]] as const) {
    near(found.duration_ms[name], quantile(finished.map(({ duration }) => duration!), q), name);
    // Classes are 5 % of 1 + ms wide: small times are within their millisecond.
    assert.ok(Math.abs(found.ttft_ms[name] - quantile(finished.map(({ ttft }) => ttft!), q)) <= 2, name);
  }
}

describe("statistics", () => {
  test("of everything, in all and by day", async () => {
    const { json, status } = await admin.get("/v1/stats");
    assert.equal(status, 200, JSON.stringify(json));
    assertSums(json.total, all);
    assert.deepEqual([json.complete, json.bucket_ms], [true, DAY]);
    assert.deepEqual(json.total.by_status, { cancelled: 15, completed: 15, failed: 15, running: 15 });
    for (const bucket of json.buckets) assert.equal(bucket.executions, all.filter(({ at }) => at >= bucket.at && at < bucket.at + DAY).length);
    assert.equal(json.buckets.reduce((sum: number, bucket: any) => sum + bucket.executions, 0), COUNT);
    assert.ok(json.rows_read > 0);
  });

  test("of a filter, by the hour", async () => {
    const from = NOW - 20 * 3_600_000;
    const { json } = await admin.get(`/v1/stats?agent=agent%200&model=m1&from=${from}`);
    assert.equal(json.bucket_ms, 3_600_000);
    assertSums(json.total, all.filter(({ agent, model, at }) => agent === "agent 0" && model === "m1" && at >= from));
  });

  test("by the values of a facet, most first", async () => {
    const { json } = await admin.get("/v1/stats?group_by=model&agent=agent%201");
    assert.equal(json.more_groups, false);
    assert.deepEqual(json.groups.map(({ value }: any) => value).sort(), ["m0", "m1", "m2"]);
    for (const group of json.groups) {
      const of = all.filter(({ agent, model }) => agent === "agent 1" && model === group.value);
      assert.equal(group.executions, of.filter(ended).length);
      near(group.duration_ms.p50, quantile(of.filter(ended).map(({ duration }) => duration!), 0.5), group.value);
    }
  });

  test("windows that are too wide and parameters that are wrong are named", async () => {
    for (const [query, field] of [["from=0", "from"], [`from=${NOW - 40 * DAY}&bucket=hour`, "from"], ["bucket=week", "bucket"], ["group_by=id", "group_by"], ["error=false", "error"]]) {
      const { status, json } = await admin.get(`/v1/stats?${query}`);
      assert.deepEqual([status, json.code, json.field], [400, "parameter_invalid", field]);
    }
    assert.equal((await admin.get("/v1/stats?limit=3")).json.code, "parameter_unknown");
  });
});

describe("days that are kept summed", () => {
  const range = (from: number, to: number) => `from=${from}&to=${to}`;
  /** Hours are summed up when they are asked for, whole days as executions change: both must say the same. */
  async function assertSame(api: Api, window: string): Promise<any> {
    const [days, hours] = [(await api.get(`/v1/stats?bucket=day&${window}`)).json, (await api.get(`/v1/stats?bucket=hour&${window}`)).json];
    assert.deepEqual(days.total, hours.total, window);
    assert.equal(days.buckets.reduce((sum: number, { executions }: any) => sum + executions, 0), hours.total.executions);
    return days.total;
  }

  test("say the same as their executions, whatever the window's ends", async () => {
    const midnight = NOW - (NOW % DAY);
    for (const [from, to] of [[-3 * DAY, DAY], [-2 * DAY, 0], [-2 * DAY - 1, 1], [-DAY - 5_000_000, 4_000_000], [-7_200_000, -3_600_000], [-7_200_000, 3_600_000]] as const) {
      await assertSame(admin, range(midnight + from, midnight + to));
    }
    assert.equal((await assertSame(admin, `from=${midnight - 6 * DAY}`)).executions, COUNT);
  });

  test("follow what comes late, is deleted and costs otherwise", async () => {
    const own = await worker.createProject("prj_days");
    const api = worker.api.withKey(own.adminKey);
    const sender = session(own.secret, own.id, own.kid);
    const window = range(NOW - 5 * DAY, NOW + 2 * DAY);
    const send = async (bytes: Uint8Array) => assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
    await record(worker.api, own, Array.from({ length: 6 }, (_, i) => ({ at: NOW - i * DAY / 2, duration: 10 ** i, ...(i % 2 ? { ttft: 10 * i } : {}) })));
    // Its end comes first, and its start from the day before last.
    const [start, ...rest] = eventsOf({ at: NOW - 2 * DAY, duration: 2 * DAY, ttft: 77 });
    const id = executionId();
    const late = chain(id, [[start!], rest.slice(0, 2).map((event) => ({ ...event, at: NOW })), rest.slice(2)]);
    for (const k of [2, 1, 0]) {
      await send(late[k]!);
      await assertSame(api, window);
    }
    // An end of another writer that wins, and steps after it.
    await send(body(id, [{ t: "end", n: 0, status: "failed", at: NOW + 2 * DAY, last: 0 }], { w: "other" }));
    const total = await assertSame(api, window);
    assert.deepEqual([total.executions, total.by_status], [7, { completed: 6, failed: 1 }]);
    await send(body(id, [{ ...eventsOf({ at: NOW })[1]!, n: 0 }], { w: "third" }));
    assert.equal((await assertSame(api, window)).steps, 15);
    assert.equal((await api.get(`/v1/executions/${id}/verify`)).json.summary, "verified");
    await api.request("DELETE", `/v1/executions/${id}`);
    assert.equal((await assertSame(api, window)).executions, 6);
    for (const { id } of await api.all("/v1/executions", "executions")) await api.request("DELETE", `/v1/executions/${id}`);
    const database = await worker.database();
    assert.deepEqual((await database.prepare("SELECT * FROM execution_days WHERE project_id = ?1").bind(own.id).all()).results, []);
  });

  test("are read instead of their executions", async () => {
    const midnight = NOW - (NOW % DAY);
    const { rows_read } = (await admin.get(`/v1/stats?bucket=day&${range(midnight - 10 * DAY, midnight + DAY)}`)).json;
    assert.ok(rows_read < COUNT, `${rows_read}`);
  });
});

describe("steps by name", () => {
  const step = (n: number, kind: string, name: string, duration_ms: number, status = "ok") => ({ ...eventsOf({ at: NOW })[2]!, n, kind, name, duration_ms, status });

  test("with counts, failures and times, of what was asked for", async () => {
    const own = await worker.createProject("prj_step_names");
    const api = worker.api.withKey(own.adminKey);
    const sender = session(own.secret, own.id, own.kid);
    for (const user of ["ann", "bob"]) {
      const id = executionId();
      const steps = Array.from({ length: 40 }, (_, i) => step(i + 1, "tool", i % 4 ? "search | find" : "book", (i + 1) * (user === "ann" ? 10 : 1_000), i % 8 ? "ok" : "error"));
      const events = [{ ...eventsOf({ at: NOW, user })[0]! }, ...steps, step(41, "llm", "book", 7)];
      for (const bytes of chain(id, [events.slice(0, 9), events.slice(9, 30), events.slice(30)])) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
      assert.notEqual((await api.get(`/v1/executions/${id}/verify`)).json.summary, "tampered");
      assert.equal((await api.get(`/v1/executions/${id}/verify`)).json.summary, "verified");
    }
    const { json } = await api.get("/v1/stats?steps=true&user=ann");
    assert.deepEqual(json.steps_by_name.map(({ kind, name, steps, error_steps }: any) => [kind, name, steps, error_steps]), [["tool", "search | find", 30, 0], ["tool", "book", 10, 5], ["llm", "book", 1, 0]]);
    const [search] = json.steps_by_name;
    const times = Array.from({ length: 40 }, (_, i) => (i % 4 ? (i + 1) * 10 : 0)).filter((time) => time > 0);
    for (const [name, q] of [["p50", 0.5], ["p95", 0.95]] as const) assert.ok(Math.abs(search.duration_ms[name] / quantile(times, q) - 1) < 0.115, `${name}: ${search.duration_ms[name]}`);
    assert.deepEqual(json.steps_by_name_of, { executions: 1, executions_max: 2_000, steps: 41, counted_steps: 41, complete: true });
    assert.equal((await api.get("/v1/stats?steps=true")).json.steps_by_name_of.steps, 82);
    assert.equal((await api.get("/v1/stats?steps=true&user=nobody")).json.steps_by_name.length, 0);
    assert.equal((await api.get("/v1/stats")).json.steps_by_name, undefined);
    assert.equal((await api.get("/v1/stats?steps=1")).json.field, "steps");
  });

  test("are bounded in each execution, and the reply says what was left out", async () => {
    const own = await worker.createProject("prj_step_bound");
    const sender = session(own.secret, own.id, own.kid);
    const pieces = [0, 1].map((k) => Array.from({ length: 100 }, (_, i) => step(k * 100 + i, "tool", `name ${k * 100 + i}`, 1)));
    const [id, backwards] = [executionId(), executionId()];
    for (const bytes of chain(id, pieces)) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
    for (const bytes of chain(backwards, pieces).reverse()) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
    const api = worker.api.withKey(own.adminKey);
    const { steps_by_name_of: of } = (await api.get("/v1/stats?steps=true")).json;
    assert.deepEqual([of.steps, of.counted_steps, of.complete], [400, 256, false]);
    const rows = (await (await worker.database()).prepare("SELECT step_times FROM executions WHERE project_id = ?1").bind(own.id).all()).results as any[];
    assert.equal(rows[0].step_times, rows[1].step_times);
    for (const each of [id, backwards]) assert.equal((await api.get(`/v1/executions/${each}/verify`)).json.summary, "verified");
  });
});

describe("facets", () => {
  test("every facet with its values and counts", async () => {
    const { facets } = (await admin.get("/v1/facets")).json;
    assert.deepEqual(facets.status.values.map(({ value, executions }: any) => [value, executions]).sort(), [["cancelled", 15], ["completed", 15], ["failed", 15], ["running", 15]]);
    assert.deepEqual(facets.agent.values.map(({ value }: any) => value).sort(), ["agent 0", "agent 1"]);
    assert.equal(facets.user.values.length, 7);
    assert.equal(facets.error.values[0].executions, all.filter(({ error, status }) => error || status === "failed").length);
  });

  test("one facet page by page, each value once", async () => {
    const found: string[] = [];
    let cursor = "";
    do {
      const { json } = await admin.get(`/v1/facets?facet=user&limit=3${cursor}`);
      found.push(...json.facets.user.values.map(({ value }: any) => value));
      cursor = json.next_cursor ? `&cursor=${json.next_cursor}` : "";
    } while (cursor);
    assert.deepEqual(found.sort(), Array.from({ length: 7 }, (_, i) => `user ${i}`));
    assert.equal((await admin.get("/v1/facets?cursor=x")).json.field, "cursor");
  });
});

describe("sessions and users", () => {
  for (const [route, of] of [["sessions", (recorded: Recorded) => recorded.session], ["users", (recorded: Recorded) => recorded.user]] as [string, (recorded: Recorded) => string | undefined][]) {
    test(`${route} by their newest execution, each once, with totals`, async () => {
      const found = await admin.all(`/v1/${route}?limit=3`, route);
      const names = [...new Set(all.map(of).filter((name) => name !== undefined))];
      assert.deepEqual(found.map(({ id }) => id), names);
      for (const each of found) {
        const own = all.filter((recorded) => of(recorded) === each.id);
        assert.deepEqual([each.executions, each.last_at, each.first_at, each.steps], [own.length, own[0]!.at, own.at(-1)!.at, 2 * own.length]);
        assert.ok(Math.abs(each.cost_usd - own.reduce((sum, { cost }) => sum + cost!, 0)) < 1e-9);
      }
    });
  }

  test("minting stays where it was, readable by any page; the list is not", async () => {
    const minted = await worker.api.request("POST", "/v1/sessions", "{}", { "content-type": "application/json" });
    assert.deepEqual([minted.status, minted.headers.get("access-control-allow-origin")], [400, "*"]);
    const listed = await admin.get("/v1/sessions");
    assert.deepEqual([listed.status, listed.headers.get("access-control-allow-origin")], [200, null]);
  });
});

describe("silence", () => {
  test("an execution is abandoned after its project's time, and any event takes that back", async () => {
    const own = await worker.createProject("prj_silent", { abandon_after_minutes: 30 });
    const owner = worker.api.withKey(own.adminKey);
    const sender = session(own.secret, own.id, own.kid);
    const [silent, active] = [executionId(), executionId()];
    const events = eventsOf({ at: NOW, status: "completed" });
    for (const id of [silent, active]) assert.equal((await worker.api.sendBatch(seal(sender, body(id, events.slice(0, 2))))).json.code, "stored");
    const database = await worker.database();
    await database.prepare("UPDATE executions SET updated_at = ?1 WHERE id = ?2").bind(NOW - 31 * 60_000, silent).run();
    await worker.runChores();
    const statuses = async () => Object.fromEntries((await owner.all("/v1/executions", "executions")).map(({ id, status }) => [id, status]));
    assert.deepEqual(await statuses(), { [silent]: "abandoned", [active]: "running" });
    assert.deepEqual((await owner.all("/v1/executions?status=abandoned", "executions")).map(({ id }) => id), [silent]);
    assert.equal((await owner.get(`/v1/executions/${silent}/verify`)).json.verdict, "incomplete");
    const [, late] = chain(silent, [events.slice(0, 2), events.slice(2, 3)]);
    assert.equal((await worker.api.sendBatch(seal(sender, late!))).json.code, "stored");
    assert.equal((await statuses())[silent], "running");
    assert.deepEqual(await owner.all("/v1/executions?status=abandoned", "executions"), []);
  });

  test("the time is the project's to set, within bounds", async () => {
    assert.equal((await admin.get("/v1/project")).json.abandon_after_minutes, 1_440);
    assert.equal((await admin.request("PATCH", "/v1/project", '{"abandon_after_minutes":5}')).json.project.abandon_after_minutes, 5);
    const refused = await admin.request("PATCH", "/v1/project", '{"abandon_after_minutes":4}');
    assert.deepEqual([refused.status, refused.json.field], [400, "abandon_after_minutes"]);
  });
});

test("ids of the fixture are all there", async () => {
  assert.deepEqual((await admin.all("/v1/executions", "executions")).map(({ id }) => id), ids);
});
