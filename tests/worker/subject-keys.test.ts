// A key per person: destroying it makes what that person recorded unreadable in every copy of the store, older
// ones included, and leaves everybody else's.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { Api } from "../client/api.ts";
import { chain, executionId, seal, session, smallExecution, type Event } from "../client/batches.ts";
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
  for (const [table, column] of [["segments", "execution_id"], ["executions", "id"]] as const) saved.push([table, await select(`SELECT * FROM ${table} WHERE ${column} = ?1`, x)]);
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
