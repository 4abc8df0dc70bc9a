// Lists: every filter and sort, pages that give everything once, bounded work whatever the filter.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Api } from "../client/api.ts";
import { body, chain, executionId, seal, session, stepId, type Event } from "../client/batches.ts";
import { eventsOf, record, type Recorded } from "../client/recorded.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const DAY = 86_400_000;
const NOW = Date.now();
const COUNT = 60;

let worker: Worker;
let project: Project;
let viewer: Api;
let admin: Api;
let all: Recorded[];
let ids: string[];

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_query");
  viewer = worker.api.withKey(project.viewerKey);
  admin = worker.api.withKey(project.adminKey);
  all = Array.from({ length: COUNT }, (_, i): Recorded => ({
    // Three a time, so that keys are equal too.
    at: NOW - Math.floor(i / 3) * 3_600_000, name: `name ${i % 4}`, agent: `agent ${i % 2}`, user: `user ${i % 10}`, session: `session ${i % 20}`,
    environment: i % 5 ? "production" : "test", release: `r${i % 3}`, tags: [`t${i % 6}`, "all"], model: `m${i % 3}`, tool: `tool ${i % 7}`,
    status: (["completed", "failed", "cancelled", "running"] as const)[i % 4]!, duration: 10 * (i % 11), tokens: 100 + 10 * (i % 13), cost: (i % 9) / 100, error: i % 8 === 0,
  }));
  ids = await record(worker.api, project, all);
});

after(() => worker.stop());

const listed = async (query: string): Promise<any[]> => viewer.all(`/v1/executions?${query}`, "executions");
const idsWhere = (holds: (recorded: Recorded, index: number) => boolean) => ids.filter((_, index) => holds(all[index]!, index)).sort();
const total = (i: number) => 100 + 10 * (i % 13);

describe("filters", () => {
  const cases: [string, (recorded: Recorded, index: number) => boolean][] = [
    ["status=failed", ({ status }) => status === "failed"],
    ["status=running", ({ status }) => status === "running"],
    ["name=name%202", ({ name }) => name === "name 2"],
    ["agent=agent%201", ({ agent }) => agent === "agent 1"],
    ["user=user%203", ({ user }) => user === "user 3"],
    ["session=session%2013", ({ session }) => session === "session 13"],
    ["environment=test", ({ environment }) => environment === "test"],
    ["release=r2", ({ release }) => release === "r2"],
    ["tag=t5", ({ tags }) => tags!.includes("t5")],
    ["tag=all", () => true],
    ["model=m1", ({ model }) => model === "m1"],
    ["tool=tool%206", ({ tool }) => tool === "tool 6"],
    ["error=true", ({ error, status }) => error || status === "failed"],
    ["error=false", ({ error, status }) => !error && status !== "failed"],
    ["completeness=open", ({ status }) => status === "running"],
    ["completeness=complete", ({ status }) => status !== "running"],
    ["completeness=incomplete", () => false],
    ["min_duration_ms=50&max_duration_ms=70", ({ duration, status }) => status !== "running" && duration! >= 50 && duration! <= 70],
    ["min_tokens=200", (_, i) => total(i) >= 200],
    ["max_tokens=110", (_, i) => total(i) <= 110],
    ["min_cost_usd=0.02&max_cost_usd=0.03", ({ cost }) => cost === 0.02 || cost === 0.03],
    ["user=user%203&model=m0&status=running", ({ user, model, status }) => user === "user 3" && model === "m0" && status === "running"],
    ["model=m2&min_tokens=150&error=false", ({ model, error, status }, i) => model === "m2" && total(i) >= 150 && !error && status !== "failed"],
    ["user=nobody", () => false],
  ];
  for (const [query, holds] of cases) {
    test(query, async () => {
      const found = await listed(`${query}&limit=7`);
      assert.deepEqual(found.map(({ id }) => id).sort(), idsWhere(holds));
    });
  }
});

describe("orders and pages", () => {
  test("by start, newest first, each once", async () => {
    const found = await listed("limit=7");
    const expected = ids.map((id, i) => ({ id, at: all[i]!.at })).sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
    assert.deepEqual(found.map(({ id }) => id), expected.map(({ id }) => id));
  });

  for (const [sort, key] of [
    ["duration", (i: number) => 10 * (i % 11)], ["cost", (i: number) => (i % 9) / 100], ["tokens", total],
  ] as [string, (i: number) => number][]) {
    for (const [filter, holds] of [["", () => true], ["&agent=agent%200&min_tokens=130", (i: number) => i % 2 === 0 && total(i) >= 130]] as [string, (i: number) => boolean][]) {
      test(`by ${sort}${filter}, what has ended, each once`, async () => {
        const found = await listed(`sort=${sort}&limit=7${filter}`);
        const expected = ids.map((id, i) => ({ id, i })).filter(({ i }) => all[i]!.status !== "running" && holds(i))
          .sort((a, b) => key(b.i) - key(a.i) || (a.id < b.id ? 1 : -1));
        assert.deepEqual(found.map(({ id }) => id), expected.map(({ id }) => id));
      });
    }
  }

  test("a page of rare things looks at a bounded number of rows and goes on from there", async () => {
    const other = await worker.createProject("prj_rare");
    const database = await worker.database();
    await record(worker.api, other, [{ at: NOW - 5_000_000, name: "rare", tokens: 9_000 }]);
    // 4,100 newer rows as the worker writes them, copied within the store: sending them takes minutes.
    const columns = (await database.prepare("SELECT name FROM pragma_table_info('executions')").all()).results.map(({ name }: any) => name as string);
    const replaced: Record<string, string> = { id: "printf('run_%016d', n.value)", started_at: "e.started_at + n.value", input_tokens: "1" };
    const values = columns.map((name: string) => replaced[name] ?? `e.${name}`);
    await database.prepare(`INSERT INTO executions (${columns.join(", ")}) SELECT ${values.join(", ")} FROM executions e, generate_numbers n`
      .replace("generate_numbers n", "(WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < 4100) SELECT value FROM c) n")
      + " WHERE e.project_id = 'prj_rare'").run();
    const asker = worker.api.withKey(other.adminKey);
    const pages = [];
    let cursor = "";
    do {
      const { json } = await asker.get(`/v1/executions?min_tokens=9000${cursor}`);
      assert.ok(json.rows_read > 0 && json.rows_read < 12_000, `${json.rows_read}`);
      pages.push(json.executions.length);
      cursor = json.next_cursor ? `&cursor=${json.next_cursor}` : "";
    } while (cursor);
    assert.deepEqual(pages, [0, 0, 1]);
    const first = (await asker.get("/v1/executions?tag=none")).json;
    assert.ok(first.rows_read < 10, `${first.rows_read}`);
  });
});

describe("window and fields", () => {
  test("without bounds it is the last seven days, and the reply says so", async () => {
    const [old] = await record(worker.api, project, [{ at: NOW - 8 * DAY, name: "old" }]);
    const { json } = await viewer.get("/v1/executions?name=old");
    assert.deepEqual(json.executions, []);
    assert.ok(Math.abs(json.window.from - (Date.now() - 7 * DAY)) < 10_000);
    assert.equal(json.window.to, null);
    const wider = (await viewer.get(`/v1/executions?name=old&from=${NOW - 9 * DAY}`)).json;
    assert.deepEqual(wider.executions.map(({ id }: any) => id), [old]);
  });

  test("the window of the first page holds for all", async () => {
    const first = (await viewer.get("/v1/executions?limit=2")).json;
    const second = (await viewer.get(`/v1/executions?limit=2&cursor=${first.next_cursor}`)).json;
    assert.deepEqual(second.window, first.window);
  });

  test("a sorted window is of whole days", async () => {
    const { window } = (await viewer.get("/v1/executions?sort=cost")).json;
    assert.deepEqual([window.from % DAY, window.to % DAY, window.to > Date.now()], [0, 0, true]);
  });

  test("exactly the fields that were asked for", async () => {
    const { json } = await viewer.get("/v1/executions?fields=id,ttft_ms,cost_usd&limit=3");
    for (const execution of json.executions) assert.deepEqual(Object.keys(execution), ["id", "ttft_ms", "cost_usd"]);
  });

  test("what a page costs is for admins", async () => {
    assert.equal((await viewer.get("/v1/executions")).json.rows_read, undefined);
    assert.ok((await admin.get("/v1/executions?limit=10")).json.rows_read <= 60);
  });

  test("the first token's time is that of the earliest", async () => {
    const [id] = await record(worker.api, project, [{ at: NOW, name: "streams", ttft: 321.4 }]);
    assert.equal((await viewer.get(`/v1/executions/${id}`)).json.execution.ttft_ms, 321);
    assert.equal((await viewer.get(`/v1/executions/${id}/verify`)).json.verdict, "verified");
  });
});

describe("steps of all executions", () => {
  test("by kind, name, status, model and text, each once, whatever the page", async () => {
    const other = await worker.createProject("prj_steps");
    const recorded = Array.from({ length: 30 }, (_, i): Recorded => ({ at: NOW - i * 1_000, user: `u${i % 3}`, model: `m${i % 2}`, tool: `tool ${i % 5}`, error: i % 6 === 0 }));
    const own = await record(worker.api, other, recorded);
    const reader = worker.api.withKey(other.viewerKey);
    const expected = (holds: (each: Recorded) => boolean) => own.filter((_, i) => holds(recorded[i]!));
    for (const [query, holds, perExecution] of [
      ["kind=llm", () => true, 1], ["kind=tool&status=error", ({ error }) => error, 1], ["model=m1", ({ model }) => model === "m1", 1],
      ["tool=tool%203", ({ tool }) => tool === "tool 3", 1], ["name=plan&user=u2", ({ user }) => user === "u2", 1], ["text=TOOL%204", ({ tool }) => tool === "tool 4", 1],
      ["text=nowhere", () => false, 1], ["", () => true, 2],
    ] as [string, (each: Recorded) => boolean, number][]) {
      const found = await reader.all(`/v1/steps?limit=4&${query}`, "steps");
      assert.deepEqual(found.map(({ execution }) => execution), expected(holds).flatMap((id) => Array(perExecution).fill(id)), query);
      assert.ok(found.every((step) => step.input === undefined && step.output === undefined));
    }
  });

  test("one that never ended is running while its execution is, and abandoned after", async () => {
    const sender = session(project.secret, project.id, project.kid);
    const id = executionId();
    const open = { t: "open", id: stepId(), kind: "tool", name: "wait", at: NOW };
    const done = { t: "step", id: stepId(), kind: "tool", name: "look", at: NOW, duration_ms: 1, status: "ok" };
    const [first, second] = chain(id, [
      [{ t: "start", n: 0, at: NOW, name: "cut short" }, { ...open, n: 1 }, { ...open, ...done, t: "open", n: 2 }, { ...done, n: 3 }],
      [{ t: "end", n: 4, at: NOW + 5, status: "cancelled", last: 4 }],
    ] as Event[][]) as [Buffer, Buffer];
    const statuses = async () => (await viewer.all(`/v1/executions/${id}/steps`, "steps")).map(({ name, status }) => [name, status]);
    await worker.api.sendBatch(seal(sender, first));
    assert.deepEqual(await statuses(), [["wait", "running"], ["look", "ok"]]);
    await worker.api.sendBatch(seal(sender, second));
    assert.deepEqual(await statuses(), [["wait", "abandoned"], ["look", "ok"]]);
  });

  test("of an execution of many batches, page by page", async () => {
    const id = executionId();
    const events = [{ t: "start", n: 0, at: NOW, name: "many", user: "many" }, ...Array.from({ length: 70 }, (_, i) => ({ ...eventsOf({ at: NOW })[1]!, n: i + 1, name: `s${i}` }))];
    const sender = session(project.secret, project.id, project.kid);
    for (const bytes of chain(id, events.map((event) => [event]))) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
    const found = await viewer.all("/v1/steps?user=many&limit=200", "steps");
    assert.deepEqual(found.map(({ name }) => name), Array.from({ length: 70 }, (_, i) => `s${i}`));
  });
});

describe("as CSV", () => {
  test("pages put together are one table, and no cell is a formula", async () => {
    const name = '=HYPERLINK("https://evil.example.com")';
    await record(worker.api, project, Array.from({ length: 5 }, (_, i) => ({ at: NOW - i, name })));
    let path: string | undefined = `/v1/export/executions.csv?name=${encodeURIComponent(name)}&fields=name,steps,tags&limit=2`;
    let table = "";
    for (; path; ) {
      const response: Response = await fetch(worker.url + path, { headers: { authorization: `Bearer ${project.viewerKey}` } });
      assert.deepEqual([response.status, response.headers.get("content-type")], [200, "text/csv; charset=utf-8"]);
      table += await response.text();
      path = /^<([^>]+)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
    }
    const line = `"'=HYPERLINK(""https://evil.example.com"")",2,"[]"\r\n`;
    assert.equal(table, `name,steps,tags\r\n${line.repeat(5)}`);
  });
});

describe("facets follow their execution", () => {
  const facetsOf = async (id: string) => {
    const database = await worker.database();
    const { results } = await database.prepare("SELECT facet, value, started_at FROM execution_facets WHERE execution_id = ?1").bind(id).all();
    return results as { facet: string; value: string; started_at: number }[];
  };

  test("in whatever order its batches come", async () => {
    const id = executionId();
    const events = eventsOf({ at: NOW, name: "late start", model: "m9", status: "failed" });
    const sender = session(project.secret, project.id, project.kid);
    const halves = [events.slice(0, 2), events.slice(2)].map((half, k) => body(id, half, { k, n: k * 2, prev: k ? "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" : "" }));
    for (const half of halves.reverse()) assert.equal((await worker.api.sendBatch(seal(sender, half))).json.code, "stored");
    assert.deepEqual((await listed("name=late%20start&model=m9&status=failed&error=true")).map((row) => row.id), [id]);
    const facets = await facetsOf(id);
    assert.deepEqual(facets.map(({ facet }) => facet).sort(), ["error", "model", "name", "status", "tool"]);
    assert.deepEqual(new Set(facets.map(({ started_at }) => started_at)), new Set([NOW]));
  });

  test("and go with it", async () => {
    const [id] = await record(worker.api, project, [{ at: NOW, name: "doomed" }]);
    assert.equal((await facetsOf(id!)).length, 4);
    assert.equal((await admin.request("DELETE", `/v1/executions/${id}`)).status, 200);
    assert.deepEqual(await facetsOf(id!), []);
  });
});
