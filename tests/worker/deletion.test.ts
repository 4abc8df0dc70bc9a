// Deletion and retention: rows and KV values are counted, and late batches bring nothing back.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Api, Reply } from "../client/api.ts";
import { body, chain, executionId, seal, session, smallExecution, type Event } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const DAY_MS = 86_400_000;

let worker: Worker;
let operator: Api;

before(async () => {
  worker = await Worker.start();
  operator = worker.api.withKey(worker.operatorKey);
});

after(() => worker.stop());

const statusAndCode = (reply: Reply) => [reply.status, reply.json.code];

async function select(sql: string, ...values: unknown[]): Promise<any[]> {
  const database = await worker.database();
  return (await database.prepare(sql).bind(...values).all()).results;
}

/** What is stored of a project: rows of segments and executions, values in KV. */
async function leftOf(project: Project): Promise<{ segments: number; executions: number; bodies: number }> {
  const count = async (table: string) => (await select(`SELECT count(*) AS n FROM ${table} WHERE project_id = ?1`, project.id))[0].n;
  const { keys } = await (await worker.bodies()).list({ prefix: `segment/${project.id}/` });
  return { segments: await count("segments"), executions: await count("executions"), bodies: keys.length };
}

const discarded = async () => (await select("SELECT count(*) AS n FROM discarded_bodies"))[0].n;
const send = (project: Project, bytes: Uint8Array, claims = {}) =>
  worker.api.sendBatch(seal(session(project.secret, project.id, project.kid, claims), bytes));

const big: Event = { t: "log", n: 3, at: Date.now(), body: "x".repeat(100_000) };

/** An execution of two batches, the second in KV. */
async function store(project: Project, { user = "ann", sub = "user_1" } = {}): Promise<{ x: string; batches: Buffer[] }> {
  const x = executionId();
  const [start, model, tool, end] = smallExecution();
  const batches = chain(x, [[{ ...start!, user }, model!, tool!], [big, { ...end!, n: 4, last: 4 }]]);
  for (const bytes of batches) assert.equal((await send(project, bytes, { sub })).json.code, "stored");
  return { x, batches };
}

describe("deleting an execution", () => {
  test("leaves a tombstone and an entry, and nothing in D1 or KV", async () => {
    const project = await worker.createProject("prj_one");
    const admin = worker.api.withKey(project.adminKey);
    const kept = await store(project);
    const { x, batches } = await store(project);
    assert.deepEqual(await leftOf(project), { segments: 4, executions: 2, bodies: 2 });
    assert.deepEqual(statusAndCode(await worker.api.withKey(project.viewerKey).request("DELETE", `/v1/executions/${x}`)), [403, "role_insufficient"]);
    assert.deepEqual((await admin.request("DELETE", `/v1/executions/${x}`)).json, { deleted: x });
    assert.deepEqual(await leftOf(project), { segments: 2, executions: 1, bodies: 1 });
    assert.equal(await discarded(), 0);
    assert.equal((await admin.get(`/v1/executions/${kept.x}/verify`)).json.verdict, "verified");

    for (const bytes of [...batches, body(x, [{ ...big, n: 5 }], { k: 2, prev: "A".repeat(43), n: 5 })]) {
      assert.deepEqual(statusAndCode(await send(project, bytes)), [410, "execution_deleted"]);
    }
    assert.deepEqual(await leftOf(project), { segments: 2, executions: 1, bodies: 1 });
    for (const path of ["", "/steps"]) assert.deepEqual(statusAndCode(await admin.get(`/v1/executions/${x}${path}`)), [410, "execution_deleted"]);
    assert.equal((await admin.get(`/v1/executions/${x}/verify`)).json.verdict, "deleted");
    assert.deepEqual(statusAndCode(await admin.request("DELETE", `/v1/executions/${x}`)), [410, "execution_deleted"]);
    const { json } = await admin.get("/v1/audit?action=execution.delete");
    assert.deepEqual(json.entries.map(({ target }: any) => target), [x]);
  });

  test("of another project is as absent as none", async () => {
    const [project, other] = [await worker.createProject("prj_mine"), await worker.createProject("prj_theirs")];
    const { x } = await store(other);
    assert.deepEqual(statusAndCode(await worker.api.withKey(project.adminKey).request("DELETE", `/v1/executions/${x}`)), [404, "execution_not_found"]);
    assert.deepEqual(await leftOf(other), { segments: 2, executions: 1, bodies: 1 });
  });

  test("a tombstone stands for 60 days", async () => {
    const project = await worker.createProject("prj_tombs");
    const { x, batches } = await store(project);
    await worker.api.withKey(project.adminKey).request("DELETE", `/v1/executions/${x}`);
    await select("DELETE FROM chores");
    await select("UPDATE tombstones SET deleted_at = deleted_at - ?1 WHERE execution_id = ?2", 59 * DAY_MS, x);
    await worker.runChores();
    assert.deepEqual(statusAndCode(await send(project, batches[0]!)), [410, "execution_deleted"]);
    await select("DELETE FROM chores");
    await select("UPDATE tombstones SET deleted_at = deleted_at - ?1 WHERE execution_id = ?2", 2 * DAY_MS, x);
    await worker.runChores();
    assert.equal((await send(project, batches[0]!)).json.code, "stored");
  });
});

describe("deleting a person's data", () => {
  test("takes all of a user's executions, in slices, and nobody else's", async () => {
    const project = await worker.createProject("prj_users");
    const admin = worker.api.withKey(project.adminKey);
    for (let count = 0; count < 60; count++) await store(project, { user: "eve" });
    for (let count = 0; count < 3; count++) await store(project, { user: "bob" });
    assert.deepEqual(await leftOf(project), { segments: 126, executions: 63, bodies: 63 });
    const ordered = await admin.request("POST", "/v1/project/deletions", '{"user":"eve"}');
    assert.deepEqual([ordered.status, ordered.json.deletion.kind, ordered.json.deletion.executions, ordered.json.deletion.finished_at], [202, "user", 25, null]);
    await worker.runChores();
    assert.deepEqual(await leftOf(project), { segments: 6, executions: 3, bodies: 3 });
    const { json } = await admin.get("/v1/project/deletions");
    assert.deepEqual(json.deletions.map(({ id, executions }: any) => [id, executions]), [[ordered.json.deletion.id, 60]]);
    assert.ok(json.deletions[0].finished_at > 0);
    assert.ok(!JSON.stringify([await select("SELECT * FROM deletions"), (await admin.get("/v1/audit")).json]).includes("eve"));
    assert.deepEqual(statusAndCode(await admin.request("POST", "/v1/project/deletions", "{}")), [400, "request_malformed"]);
    assert.deepEqual(statusAndCode(await worker.api.withKey(project.viewerKey).get("/v1/project/deletions")), [403, "role_insufficient"]);
  });

  test("takes all of a subject's executions", async () => {
    const project = await worker.createProject("prj_subjects");
    await store(project, { sub: "o_eve" });
    await store(project, { sub: "o_bob" });
    const { json } = await worker.api.withKey(project.adminKey).request("POST", "/v1/project/deletions", '{"subject":"o_eve"}');
    assert.deepEqual([json.deletion.executions, json.deletion.finished_at > 0], [1, true]);
    assert.deepEqual(await leftOf(project), { segments: 2, executions: 1, bodies: 1 });
    assert.deepEqual(await select("SELECT subject FROM executions WHERE project_id = ?1", project.id), [{ subject: "o_bob" }]);
  });
});

describe("deleting a project", () => {
  test("ends its keys and writers at once and leaves nothing; its id stays taken", async () => {
    const project = await worker.createProject("prj_gone");
    const admin = worker.api.withKey(project.adminKey);
    for (let count = 0; count < 3; count++) await store(project);
    assert.deepEqual(statusAndCode(await admin.request("DELETE", "/v1/project")), [403, "role_insufficient"]);
    assert.deepEqual(statusAndCode(await operator.request("PATCH", `/v1/projects/${project.id}`, '{"status":"deleted"}')), [400, "request_malformed"]);
    const reply = await operator.request("DELETE", `/v1/projects/${project.id}`);
    assert.deepEqual([reply.status, reply.json.deletion.executions, reply.json.deletion.finished_at], [202, 3, null]);
    assert.deepEqual(await leftOf(project), { segments: 0, executions: 0, bodies: 0 });
    assert.deepEqual(statusAndCode(await admin.get("/v1/project")), [401, "credential_invalid"]);
    assert.deepEqual(statusAndCode(await send(project, body(executionId(), smallExecution()))), [403, "project_unknown"]);
    assert.equal((await (await worker.config()).list({ prefix: "api-key/" })).keys.length, (await select("SELECT count(*) AS n FROM api_keys WHERE revoked_at IS NULL"))[0].n);
    assert.deepEqual(statusAndCode(await operator.request("POST", "/v1/projects", JSON.stringify({ id: project.id, name: "again" }))), [409, "project_exists"]);
    assert.deepEqual(statusAndCode(await operator.request("PATCH", `/v1/projects/${project.id}`, '{"status":"active"}')), [404, "project_not_found"]);
    assert.equal((await operator.get(`/v1/projects/${project.id}`)).json.project.status, "deleted");

    // A batch that an isolate with old configuration still took, and the two minutes in which there may be one.
    await select("UPDATE deletions SET ordered_at = ordered_at - 180000 WHERE project_id = ?1", project.id);
    await worker.runChores();
    assert.ok((await select("SELECT finished_at FROM deletions WHERE project_id = ?1", project.id))[0].finished_at > 0);
    assert.equal((await select("SELECT count(*) AS n FROM tombstones WHERE project_id = ?1", project.id))[0].n, 0);
    const { json } = await operator.get(`/v1/projects/${project.id}/audit?action=project.delete`);
    assert.deepEqual(json.entries.map(({ actor }: any) => actor), ["operator"]);
  });
});

describe("retention", () => {
  test("is applied to D1 and KV both, also where a page's clock was wrong, and noted", async () => {
    const project = await worker.createProject("prj_kept", { retention_days: 7 });
    const admin = worker.api.withKey(project.adminKey);
    assert.equal((await admin.get("/v1/project")).json.retention_days, 7);
    const [old, ahead, fresh, active] = [await store(project), await store(project), await store(project), await store(project)];
    const age = (x: string, started: number, updated: number) => select("UPDATE executions SET started_at = ?2, updated_at = ?3 WHERE id = ?1", x, started, updated);
    const now = Date.now();
    await age(old.x, now - 8 * DAY_MS, now - 8 * DAY_MS);
    await age(ahead.x, now + 400 * DAY_MS, now - 8 * DAY_MS);
    await age(fresh.x, now - 6 * DAY_MS, now - 6 * DAY_MS);
    await age(active.x, now - 30 * DAY_MS, now);
    await worker.runChores();
    const left = await select("SELECT id FROM executions WHERE project_id = ?1 ORDER BY id", project.id);
    assert.deepEqual(left.map(({ id }) => id), [fresh.x, active.x].sort());
    assert.deepEqual(await leftOf(project), { segments: 4, executions: 2, bodies: 2 });
    const { json } = await admin.get("/v1/audit?action=retention.apply");
    assert.deepEqual(json.entries.map(({ actor, details }: any) => [actor, details]), [["system", { executions: 2, days: 7 }]]);
    assert.deepEqual(statusAndCode(await send(project, old.batches[0]!)), [410, "execution_deleted"]);
  });

  test("takes everything that is over in one run, and no more than that", async () => {
    const project = await worker.createProject("prj_expired", { retention_days: 7 });
    for (let count = 0; count < 120; count++) await store(project);
    await select("UPDATE executions SET started_at = ?2, updated_at = ?2 WHERE project_id = ?1", project.id, Date.now() - 8 * DAY_MS);
    const { x } = await store(project);
    await worker.runChores();
    assert.deepEqual(await select("SELECT id FROM executions WHERE project_id = ?1", project.id), [{ id: x }]);
    assert.deepEqual(await leftOf(project), { segments: 2, executions: 1, bodies: 1 });
    const { json } = await worker.api.withKey(project.adminKey).get("/v1/audit?action=retention.apply");
    assert.equal(json.entries.reduce((sum: number, { details }: any) => sum + details.executions, 0), 120);
  });

  test("is 90 days for a new project; 0 keeps; too much is refused", async () => {
    const project = await worker.createProject("prj_default");
    const admin = worker.api.withKey(project.adminKey);
    assert.equal((await admin.get("/v1/project")).json.retention_days, 90);
    const { x } = await store(project);
    await select("UPDATE executions SET started_at = 1, updated_at = 1 WHERE id = ?1", x);
    assert.equal((await admin.request("PATCH", "/v1/project", '{"retention_days":0}')).json.project.retention_days, 0);
    await worker.runChores();
    assert.deepEqual(await leftOf(project), { segments: 2, executions: 1, bodies: 1 });
    assert.deepEqual(statusAndCode(await admin.request("PATCH", "/v1/project", '{"retention_days":3651}')), [400, "request_malformed"]);
  });
});

describe("bodies whose commit never came", () => {
  test("are swept after a day; bodies with a row and young ones stay", async () => {
    const project = await worker.createProject("prj_swept");
    await store(project);
    const bodies = await worker.bodies();
    const orphan = (attempt: string) => `segment/${project.id}/${executionId()}//0/${attempt}`;
    const [old, young, unsaid] = [orphan("a1"), orphan("a2"), orphan("a3")];
    await bodies.put(old, "x", { metadata: { at: Date.now() - 2 * DAY_MS } });
    await bodies.put(young, "x", { metadata: { at: Date.now() } });
    await bodies.put(unsaid, "x");
    const [row] = (await bodies.list({ prefix: `segment/${project.id}/` })).keys.filter(({ name }) => ![old, young, unsaid].includes(name));
    await bodies.put(row!.name, (await bodies.get(row!.name, "arrayBuffer"))!, { metadata: { at: 1 } });
    await select("DELETE FROM chores");
    await worker.runChores();
    const left = (await bodies.list({ prefix: `segment/${project.id}/` })).keys.map(({ name }) => name);
    assert.deepEqual(left.sort(), [row!.name, young].sort());
  });

  test("and those whose rows are gone are removed by the next run", async () => {
    const project = await worker.createProject("prj_crashed");
    const { x } = await store(project);
    const [{ name }] = (await (await worker.bodies()).list({ prefix: `segment/${project.id}/` })).keys as [{ name: string }];
    await select("INSERT INTO discarded_bodies (key) VALUES (?1)", name);
    await select("DELETE FROM segments WHERE execution_id = ?1", x);
    await worker.runChores();
    assert.equal((await leftOf(project)).bodies, 0);
    assert.equal(await discarded(), 0);
  });
});
