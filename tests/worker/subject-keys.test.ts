// A key per person: destroying it makes what that person recorded unreadable in every copy of the store, older
// ones included, and leaves everybody else's.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { Api } from "../client/api.ts";
import { chain, executionId, seal, session, smallExecution, stepId, type Event } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;
let admin: Api;

before(async () => {
  worker = await Worker.start({ twin: true });
  project = await worker.createProject("prj_people", { subject_keys: true });
  admin = worker.api.withKey(project.adminKey);
});

after(() => worker.stop());

/** An execution of two batches, the second in KV. */
async function store(sub: string, api = worker.api, of = project): Promise<string> {
  const x = executionId();
  const [start, model, tool, end] = smallExecution();
  const large: Event = { t: "log", n: 3, at: Date.now(), body: "x".repeat(100_000) };
  for (const bytes of chain(x, [[start!, model!, tool!], [large, { ...end!, n: 4, last: 4 }]])) {
    const reply = await api.sendBatch(seal(session(of.secret, of.id, of.kid, { sub }), bytes));
    assert.equal(reply.json.code, "stored", JSON.stringify(reply.json));
  }
  return x;
}

const GOAL = "book a flight for Eve";

/** One whose every label and score says who it is about. */
async function storeOf(sub: string): Promise<string> {
  const x = executionId();
  const at = Date.now();
  const label = (field: string) => `${sub} ${field}`;
  const labels = Object.fromEntries(["agent", "pipeline", "user", "session", "environment", "release"].map((field) => [field, label(field)]));
  const events: Event[] = [
    { t: "start", n: 0, at, name: GOAL, ...labels, tags: [label("tag")] },
    { t: "step", n: 1, id: stepId(), kind: "llm", name: label("step"), at, duration_ms: 1, status: "ok", model: "gpt-4o", tool: { name: label("tool") } },
    { t: "score", n: 2, name: label("score"), value: label("value"), comment: label("comment"), source: label("source") },
    { t: "end", n: 3, at, status: "completed", last: 3 },
  ];
  for (const bytes of chain(x, [events])) assert.equal((await worker.api.sendBatch(seal(session(project.secret, project.id, project.kid, { sub }), bytes))).json.code, "stored");
  const score = { id: "k", name: label("key's score"), value: label("key's value"), comment: label("key's comment") };
  assert.equal((await admin.request("POST", `/v1/executions/${x}/scores`, JSON.stringify(score))).status, 200);
  return x;
}

/** All that the API says of executions in its lists and sums, and of one. */
async function said(x: string): Promise<string> {
  const paths = ["/v1/executions", `/v1/executions/${x}`, "/v1/sessions", "/v1/users", "/v1/facets", "/v1/stats?group_by=user&steps=true&scores=true", "/v1/stats?group_by=model"];
  return JSON.stringify(await Promise.all(paths.map(async (path) => {
    const { status, json } = await admin.get(path);
    assert.equal(status, 200, path);
    return json;
  })));
}

async function select(sql: string, ...values: unknown[]): Promise<any[]> {
  const database = await worker.database();
  return (await database.prepare(sql).bind(...values).all()).results;
}

const keysOf = async (of = project) => (await (await worker.config()).list({ prefix: `subject-key/${of.id}/` })).keys.map(({ name }) => name);
const verdict = async (x: string) => (await admin.get(`/v1/executions/${x}/verify`)).json;
const erase = (subject: string) => admin.request("POST", "/v1/project/deletions", JSON.stringify({ subject }));

/** What a backup of the database holds of an execution, to be put back as somebody would who has one. */
async function backup(x: string): Promise<() => Promise<void>> {
  const saved: [string, any[]][] = [];
  for (const [table, column] of [["segments", "execution_id"], ["executions", "id"], ["scores", "execution_id"]] as const) saved.push([table, await select(`SELECT * FROM ${table} WHERE ${column} = ?1`, x)]);
  const bodies = await worker.bodies();
  const values = await Promise.all((await bodies.list({ prefix: `segment/${project.id}/${x}/` })).keys.map(async ({ name }) => [name, await bodies.get(name, "arrayBuffer")] as const));
  return async () => {
    await select("DELETE FROM tombstones WHERE execution_id = ?1", x);
    for (const [table, rows] of saved) {
      const columns = new Set((await select(`SELECT name FROM pragma_table_info('${table}')`)).map(({ name }) => name));
      for (const row of rows) {
        // What is computed is not in this list and cannot be inserted.
        for (const name of Object.keys(row)) if (!columns.has(name)) delete row[name];
        const names = Object.keys(row);
        await select(`INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map((_, at) => `?${at + 1}`).join(", ")})`, ...Object.values(row));
      }
    }
    for (const [name, value] of values) await (await worker.bodies()).put(name, value!);
  };
}

describe("a person's key", () => {
  test("seals what the person records; reading and verifying go on as ever", async () => {
    const x = await store("ann");
    assert.equal((await verdict(x)).summary, "verified");
    assert.equal((await admin.get(`/v1/executions/${x}`)).json.execution.output, "done");
    const [row] = await select("SELECT hex(body) AS body FROM segments WHERE execution_id = ?1 AND k = 0", x);
    assert.ok(row.body.startsWith(Buffer.from("\0s2", "latin1").toString("hex")));
    const keys = await keysOf();
    assert.equal(keys.length, 2);
    assert.ok(!keys.join().includes("ann"), "a key's name says nothing of the person");
    await store("ann");
    assert.deepEqual(await keysOf(), keys);
  });

  test("destroyed, it takes the person's records out of an old copy too, and nobody else's", async () => {
    const [mine, others] = [await store("eve"), await store("bob")];
    const restore = await backup(mine);
    const restoreOther = await backup(others);
    const before = (await keysOf()).length;
    const ordered = await erase("eve");
    assert.deepEqual([ordered.status, ordered.json.deletion.executions, ordered.json.deletion.finished_at], [202, 1, null]);
    assert.equal((await keysOf()).length, before - 2);
    assert.equal((await verdict(mine)).verdict, "deleted");
    await restore();
    const report = await verdict(mine);
    assert.equal(report.verdict, "key_retired");
    assert.deepEqual(report.batches.map(({ reason }: any) => reason), Array(2).fill("the key of its subject was destroyed"));
    assert.equal((await admin.get(`/v1/executions/${mine}`)).json.execution.output, null);
    assert.equal((await admin.get(`/v1/executions/${mine}/steps`)).json.steps.length, 0);

    assert.equal((await verdict(others)).summary, "verified");
    await select("DELETE FROM segments WHERE execution_id = ?1", others);
    await select("DELETE FROM executions WHERE id = ?1", others);
    await restoreOther();
    assert.equal((await verdict(others)).summary, "verified");

    await select("UPDATE deletions SET ordered_at = ordered_at - 120000");
    await worker.runChores();
    const { json } = await admin.get("/v1/project/deletions");
    assert.ok(json.deletions.find(({ id }: any) => id === ordered.json.deletion.id).finished_at > 0);
  });

  test("takes the person's labels, scores and comments with it, and leaves others theirs", async () => {
    const [mine, others] = [await storeOf("Eve"), await storeOf("Bob")];
    const newer = await storeOf("Eve");
    const words = ["agent", "pipeline", "user", "session", "environment", "release", "tag", "step", "tool", "score", "value", "comment", "source", "key's score", "key's value", "key's comment"];
    const [before, ofBob] = [await said(mine), await said(others)];
    for (const word of words) assert.ok(before.includes(`"Eve ${word}"`) && ofBob.includes(`"Bob ${word}"`), word);
    assert.deepEqual([(await verdict(mine)).summary, (await verdict(others)).summary], ["verified", "verified"]);
    assert.equal((await admin.all("/v1/executions?user=Eve%20user&tag=Eve%20tag", "executions")).length, 2);

    const restores = [await backup(mine), await backup(newer)];
    assert.equal((await erase("Eve")).json.deletion.executions, 2);
    for (const restore of restores) await restore();
    const after = await said(mine);
    assert.ok(!after.includes("Eve "), "a label of hers is shown");
    assert.ok(after.includes(mine), "her row was not put back");
    for (const word of words) assert.ok((await said(others)).includes(`"Bob ${word}"`), word);
    // What she had in common with others is theirs still, although hers is the newest that has it.
    assert.ok(after.includes(`"${GOAL}"`) && (await admin.get("/v1/facets?facet=model")).json.facets.model.values.some(({ value }: any) => value === "gpt-4o"));
    const everything = JSON.stringify(await Promise.all(["executions", "scores", "execution_facets"].map((table) => select(`SELECT * FROM ${table} WHERE project_id = ?1`, project.id))));
    assert.ok(!everything.includes("Eve "));
    assert.equal((await verdict(mine)).verdict, "key_retired");
    assert.equal((await verdict(others)).summary, "verified");
  });

  test("two isolates that meet a person at once may make two keys: both open, both are destroyed", async () => {
    const twin = await worker.twin();
    const before = (await keysOf()).length;
    const both = await Promise.all([store("zoe"), store("zoe", twin)]);
    for (const x of both) assert.equal((await verdict(x)).summary, "verified");
    assert.ok((await keysOf()).length > before);
    await erase("zoe");
    assert.equal((await keysOf()).length, before);
  });

  test("a deleted project leaves no key behind; a project without the option has none", async () => {
    const [own, plain] = [await worker.createProject("prj_brief", { subject_keys: true }), await worker.createProject("prj_plain")];
    await store("ann", worker.api, own);
    await store("ann", worker.api, plain);
    assert.deepEqual([(await keysOf(own)).length, (await keysOf(plain)).length], [2, 0]);
    await worker.api.withKey(worker.operatorKey).request("DELETE", `/v1/projects/${own.id}`);
    assert.deepEqual(await keysOf(own), []);
  });

  test("a project that changes its mind finds what it recorded before and after as one", async () => {
    const own = await worker.createProject("prj_mind");
    const [reader, writer] = [worker.api.withKey(own.viewerKey), worker.api.withKey(own.adminKey)];
    const score = (x: string) => writer.request("POST", `/v1/executions/${x}/scores`, JSON.stringify({ id: "k", name: "helpful", value: "very", comment: "well" }));
    const before = await store("ann", worker.api, own);
    assert.equal((await score(before)).status, 200);
    assert.equal((await writer.request("PATCH", "/v1/project", '{"subject_keys":true}')).status, 200);
    const after = await store("ann", worker.api, own);
    // Given again, and given to an execution of before: sealed under another key, and the same score.
    assert.deepEqual([(await score(before)).json.duplicate, (await score(after)).json.duplicate], [true, false]);
    for (const filter of ["name=book%20a%20flight", "model=gpt-4o&tag=a", "score=helpful&score_value=very"]) {
      assert.deepEqual((await reader.all(`/v1/executions?${filter}`, "executions")).map(({ id }) => id).sort(), [before, after].sort(), filter);
    }
    const { groups } = (await reader.get("/v1/stats?group_by=model")).json;
    assert.deepEqual(groups.map(({ value, executions }: any) => [value, executions]), [["gpt-4o", 2]]);
    for (const x of [before, after]) assert.equal((await reader.get(`/v1/executions/${x}/verify`)).json.summary, "verified");
  });

  test("a rotated root reseals under the same key of the person", async () => {
    const x = await store("max");
    await worker.pause();
    const roots = JSON.stringify({ k1: Buffer.from(worker.root).toString("base64"), k2: randomBytes(32).toString("base64") });
    worker.setBindings({ STEPSEAL_ROOTS: roots });
    await worker.resume();
    admin = worker.api.withKey(project.adminKey);
    for (let run = 0; run < 4; run++) await worker.runChores();
    assert.deepEqual((await select("SELECT sealed_under FROM segments WHERE execution_id = ?1", x)).map(({ sealed_under }) => sealed_under), ["k2", "k2"]);
    assert.equal((await verdict(x)).summary, "verified");
    const restore = await backup(x);
    await erase("max");
    await restore();
    assert.equal((await verdict(x)).verdict, "key_retired");
  });
});

test("a page of more people than KV gives keys of at once shows them all", async () => {
  const crowded = await Worker.start({});
  try {
    const own = await crowded.createProject("prj_crowd", { subject_keys: true });
    for (let person = 0; person < 130; person++) await store(`person_${person}`, crowded.api, own);
    // An isolate that remembers none of them.
    await crowded.pause();
    await crowded.resume();
    const { json } = await crowded.api.withKey(own.viewerKey).get("/v1/executions?limit=200");
    assert.equal(json.executions.length, 130);
    assert.deepEqual([...new Set(json.executions.map(({ name }: any) => name))], ["book a flight"]);
  } finally {
    await crowded.stop();
  }
});
