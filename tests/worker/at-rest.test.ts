// Encryption at rest, seen from outside: the files of the store while the worker stands still.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Api } from "../client/api.ts";
import { openBody, takeApart } from "../client/at-rest.ts";
import { chain, executionId, seal, session, smallExecution, stepId, type Event } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const CANARY = `canary${randomBytes(12).toString("hex")}`;

let worker: Worker;
let project: Project;
let viewer: Api;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_sealed", { search: "hashed" });
  viewer = worker.api.withKey(project.viewerKey);
});

after(() => worker.stop());

/** Says the canary wherever a trace can say anything. */
function talkative(): Event[][] {
  const at = Date.now();
  const labels = Object.fromEntries(["name", "agent", "pipeline", "user", "session", "environment", "release"].map((field) => [field, `${CANARY} ${field}`]));
  const step = { t: "step", id: stepId(), kind: "llm", name: `${CANARY} step`, at, duration_ms: 1, status: "error", model: `${CANARY} model`, provider: CANARY };
  return [
    [
      { t: "start", n: 0, at, ...labels, tags: [`${CANARY} tag`], metadata: { [CANARY]: CANARY }, input: CANARY } as Event,
      { t: "msg", n: 1, i: 0, v: { role: "user", content: CANARY } },
      { ...step, n: 2, input: CANARY, output: CANARY, reasoning: CANARY, error: { type: CANARY, message: CANARY, stack: CANARY }, tool: { name: `${CANARY} tool`, call_id: CANARY } },
      { t: "log", n: 3, at, body: CANARY }, { t: "score", n: 4, name: CANARY, value: CANARY, step: CANARY, comment: CANARY, source: CANARY },
    ],
    [{ t: "log", n: 5, at, body: `${CANARY} ${"x".repeat(100_000)}` }],
    [{ t: "drop", n: 6, reason: CANARY, count: 1 }, { t: "end", n: 7, at, status: "completed", last: 7, output: CANARY }],
  ];
}

async function store(of: Project, pieces: Event[][], zip: number[] = []): Promise<string> {
  const x = executionId();
  for (const [index, bytes] of chain(x, pieces).entries()) {
    const sent = zip.includes(index) ? gzipSync(bytes) : bytes;
    const reply = await worker.api.sendBatch(seal(session(of.secret, of.id, of.kid), sent));
    assert.equal(reply.json.code, "stored", JSON.stringify(reply.json));
  }
  return x;
}

async function select(sql: string, ...values: unknown[]): Promise<any[]> {
  const database = await worker.database();
  return (await database.prepare(sql).bind(...values).all()).results;
}

const rowsOf = (x: string) => select("SELECT writer, k, attempt, sealed_under, hex(body) AS body FROM segments WHERE execution_id = ?1 ORDER BY k", x);

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)).filter((path) => statSync(path).isFile());
}

test("no file of the store holds a word that a trace said", async () => {
  const x = await store(project, talkative(), [2]);
  const score = { id: "k", name: `${CANARY} k`, value: `${CANARY} k`, step: CANARY, comment: CANARY, source: CANARY };
  assert.equal((await worker.api.withKey(project.adminKey).request("POST", `/v1/executions/${x}/scores`, JSON.stringify(score))).status, 200);
  const shown = JSON.stringify([(await viewer.get(`/v1/executions/${x}`)).json, (await viewer.get(`/v1/executions/${x}/steps`)).json]);
  assert.ok(shown.split(CANARY).length > 20);
  assert.equal((await viewer.get(`/v1/executions/${x}/verify`)).json.summary, "verified");
  await worker.pause();
  const found: string[] = [];
  const encodings = [CANARY, Buffer.from(CANARY).toString("hex"), Buffer.from(CANARY).toString("base64").slice(0, -4), Buffer.from(CANARY, "utf16le").toString("latin1")];
  let bytes = 0;
  for (const path of files(worker.persist)) {
    const content = readFileSync(path).toString("latin1");
    bytes += content.length;
    if (encodings.some((text) => content.toLowerCase().includes(text.toLowerCase()))) found.push(path);
  }
  assert.ok(bytes > 100_000, "the files were not there");
  assert.deepEqual(found, []);
  await worker.resume();
  viewer = worker.api.withKey(project.viewerKey);
  assert.equal((await viewer.get(`/v1/executions/${x}/verify`)).json.summary, "verified");
});

test("a stored body names its root and opens by AES-256-GCM in its own row alone", async () => {
  const x = await store(project, talkative());
  const [first, large, last] = await rowsOf(x);
  assert.deepEqual([first.sealed_under, large.sealed_under, large.body, last.sealed_under], ["k1", "k1", "", "k1"]);
  const place = (row: any) => ({ project: project.id, execution: x, writer: row.writer, k: row.k, attempt: row.attempt });
  const stored = Buffer.from(first.body, "hex");
  assert.equal(takeApart(stored).rootName, "k1");
  assert.ok(openBody(worker.root, place(first), stored).toString().includes(CANARY));
  assert.throws(() => openBody(worker.root, place(last), stored));
  const bodies = await worker.bodies();
  const inKv = Buffer.from(await bodies.get(`segment/${project.id}/${x}//1/${large.attempt}`, "arrayBuffer") as ArrayBuffer);
  assert.ok(openBody(worker.root, place(large), inKv).toString().includes(CANARY));

  await select("UPDATE segments SET body = unhex(?1) WHERE execution_id = ?2 AND k = 2", first.body, x);
  const { json } = await viewer.get(`/v1/executions/${x}/verify`);
  assert.deepEqual([json.verdict, json.batches[2].reason], ["tampered", "the stored body does not decrypt in its row"]);
  assert.equal((await viewer.get(`/v1/executions/${x}/steps`)).json.steps.length, 1);
});

test("equal labels have equal indexes in one column and project, and filters and lists see through them", async () => {
  const [one, two] = [await store(project, [smallExecution()]), await store(project, [smallExecution()])];
  const rows = await select("SELECT name, agent, tags, models, tools FROM executions WHERE id IN (?1, ?2)", one, two);
  assert.deepEqual(rows[0], rows[1]);
  for (const text of [rows[0].name, rows[0].agent, ...JSON.parse(rows[0].tags), ...JSON.parse(rows[0].models)]) assert.match(text, /^h1\.[\w-]{22}$/);
  const listed = await viewer.all("/v1/executions?name=book%20a%20flight", "executions");
  assert.deepEqual(listed.map(({ id }) => id).sort(), [one, two].sort());
  const { name, agent, tags, models, tools } = listed[0];
  assert.deepEqual({ name, agent, tags, models, tools }, { name: "book a flight", agent: "travel", tags: ["a", "b"], models: ["gpt-4o"], tools: ["search_flights"] });
  const other = await worker.createProject("prj_sealed_too");
  const third = await store(other, [smallExecution()]);
  assert.notEqual((await select("SELECT name FROM executions WHERE id = ?1", third))[0].name, rows[0].name);
});

test("an execution of ever new names keeps those of the steps that are counted, and every label of its own", async () => {
  const own = await worker.createProject("prj_many_names");
  const x = executionId();
  const at = Date.now();
  const name = (step: number) => `step ${step} ${"x".repeat(200)}`;
  const step = (n: number): Event => ({ t: "step", n, id: stepId(), kind: "tool", name: name(n), at, duration_ms: 1, status: "ok", tool: { name: "look" } });
  const start: Event = { t: "start", n: 0, at, name: "many", tags: ["t"] };
  const end: Event = { t: "end", n: 601, at, status: "completed", last: 601 };
  const all = [start, ...Array.from({ length: 600 }, (_, index) => step(index + 1)), end];
  const pieces = Array.from({ length: 7 }, (_, index) => all.slice(index * 100, index * 100 + 100));
  for (const bytes of chain(x, pieces)) assert.equal((await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), bytes))).json.code, "stored");
  const [row] = await select("SELECT length(labels) AS labels, step_names FROM executions WHERE id = ?1", x);
  const kept = Object.keys(JSON.parse(row.step_names).k1).length;
  assert.ok(row.labels < 1_000 && kept >= 128 && kept < 300, `${row.labels} characters of labels, ${kept} names`);
  const reader = worker.api.withKey(own.viewerKey);
  const { execution } = (await reader.get(`/v1/executions/${x}`)).json;
  assert.deepEqual([execution.name, execution.tags, execution.tools, execution.steps], ["many", ["t"], ["look"], 600]);
  const { steps_by_name: steps } = (await reader.get("/v1/stats?steps=true")).json;
  assert.equal(steps.length, 128);
  for (const { name: shown } of steps) assert.match(shown, /^step \d+ x{200}$/);
  assert.equal((await reader.get(`/v1/executions/${x}/verify`)).json.summary, "verified");
});

describe("rotation of the root", () => {
  test("seals every body anew in the background, a slice a run, and everything still verifies", async () => {
    const second = new Uint8Array(randomBytes(32));
    const roots = (...names: [string, Uint8Array][]) => JSON.stringify(Object.fromEntries(names.map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")])));
    const rotated = await Worker.start({});
    try {
      const own = await rotated.createProject("prj_rotated");
      const executions: string[] = [];
      for (let count = 0; count < 15; count++) {
        const x = executionId();
        for (const bytes of chain(x, talkative())) assert.equal((await rotated.api.sendBatch(seal(session(own.secret, own.id, own.kid), bytes))).json.code, "stored");
        executions.push(x);
      }
      await rotated.runChores();
      await rotated.pause();
      rotated.setBindings({ STEPSEAL_ROOTS: roots(["k1", rotated.root], ["k2", second]) });
      await rotated.resume();
      const database = await rotated.database();
      const counts = async () => {
        const { results } = await database.prepare("SELECT sealed_under, count(*) AS n FROM segments GROUP BY sealed_under ORDER BY 1").all();
        return results.map(({ sealed_under, n }: any) => [sealed_under, n]);
      };
      assert.deepEqual(await counts(), [["k1", 45]]);
      await rotated.runChores();
      const [, between] = await counts() as [unknown, [string, number]];
      assert.ok(between[0] === "k2" && between[1] > 0 && between[1] < 45, "a run takes a slice");
      for (let run = 0; run < 6; run++) await rotated.runChores();
      assert.deepEqual(await counts(), [["k2", 45]]);
      const { keys } = await (await rotated.bodies()).list({ prefix: "segment/" });
      assert.equal(keys.length, 15);
      for (const { name } of keys) {
        const stored = Buffer.from(await (await rotated.bodies()).get(name, "arrayBuffer") as ArrayBuffer);
        assert.equal(takeApart(stored).rootName, "k2");
      }
      const api = rotated.api.withKey(own.viewerKey);
      for (const x of executions) {
        const { json } = await api.get(`/v1/executions/${x}/verify`);
        assert.deepEqual([json.verdict, json.summary], ["verified", "verified"]);
      }
    } finally {
      await rotated.stop();
    }
  });
});
