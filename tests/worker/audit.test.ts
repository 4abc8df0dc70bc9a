// The audit log: what is noted, for whom it is readable, and that its chain shows what was altered or taken out.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import type { Api, Reply } from "../client/api.ts";
import { body, executionId, seal, session, smallExecution } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;
let admin: Api;
let viewer: Api;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_audited");
  admin = worker.api.withKey(project.adminKey);
  viewer = worker.api.withKey(project.viewerKey);
});

after(() => worker.stop());

const statusAndCode = (reply: Reply) => [reply.status, reply.json.code];
const post = (path: string, wanted: object = {}) => admin.request("POST", path, JSON.stringify(wanted));
const idOf = async (key: string) => (await worker.api.withKey(key).request("POST", "/v1/sign-in", JSON.stringify({ key }))).json.key.id;
const send = (x: string, claims = {}, of = project) => worker.api.sendBatch(seal(session(of.secret, of.id, of.kid, claims), body(x, smallExecution())));

async function entries(query = "", api = admin): Promise<any[]> {
  return api.all(`/v1/audit${query}`, "entries");
}

/** Entries written after the reply they belong to. */
async function eventually<T>(read: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    assert.ok(Date.now() < deadline, `still ${JSON.stringify(value)}`);
  }
}

test("changes, sign-ins and reads of content are entries that say who did what to what", async () => {
  const adminId = await idOf(project.adminKey);
  const made = (await post("/v1/project/keys", { role: "viewer", name: "ci" })).json;
  const rotated = (await post(`/v1/project/keys/${made.id}/rotate`, { overlap_s: 0 })).json;
  await admin.request("DELETE", `/v1/project/keys/${rotated.id}`);
  await post("/v1/project/generations");
  await admin.request("DELETE", "/v1/project/generations/k1-2");
  await post("/v1/project/denials", { subject: "eve" });
  await admin.request("DELETE", "/v1/project/denials?subject=eve");
  await admin.request("PATCH", "/v1/project", '{"name":"Audited","origins":[]}');
  const x = executionId();
  assert.equal((await send(x)).json.code, "stored");
  for (const path of ["", "/steps", "/steps", "/verify"]) assert.equal((await viewer.get(`/v1/executions/${x}${path}`)).status, 200);
  const said = (await entries()).reverse().map(({ actor, action, target, details }) => [actor, action, target, details]);
  const viewerId = said.at(-1)![0];
  assert.match(viewerId, /^key_[0-9a-f]{16}$/);
  assert.deepEqual(said, [
    ["operator", "project.create", "", null],
    [adminId, "sign_in.begin", adminId, null],
    [adminId, "key.create", made.id, { role: "viewer", name: "ci" }],
    [adminId, "key.rotate", made.id, { successor: rotated.id, expires_at: rotated.replaces.expires_at }],
    [adminId, "key.revoke", rotated.id, null],
    [adminId, "generation.add", "k1-2", null],
    [adminId, "generation.retire", "k1-2", null],
    [adminId, "denial.add", "eve", { kind: "subject" }],
    [adminId, "denial.remove", "eve", { kind: "subject" }],
    [adminId, "project.change", "", { fields: ["name", "origins"] }],
    [viewerId, "execution.read", x, null],
    [viewerId, "execution.verify", x, null],
  ]);
  const text = JSON.stringify(await entries());
  for (const secret of [made.key, rotated.key, project.adminKey, project.projectSecret]) assert.ok(!text.includes(secret));
});

test("a batch of an authenticated sender that is refused is an entry by reason, a repeated one is counted", async () => {
  const own = await worker.createProject("prj_rejected");
  const api = worker.api.withKey(own.adminKey);
  const rejected = () => entries("?action=sender.reject", api);
  const x = executionId();
  await send(x, { sub: "alice" }, own);
  for (let count = 0; count < 3; count++) assert.equal((await send(x, { sub: "mallory", sid: "ses_mallory" }, own)).json.code, "subject_mismatch");
  const forged = { ...session(own.secret, own.id, own.kid), key: new Uint8Array(32) };
  assert.equal((await worker.api.sendBatch(seal(forged, body(x, smallExecution())))).json.code, "signature_invalid");
  assert.equal((await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), Buffer.from("x\n{}\n")))).json.code, "header_malformed");
  const found = await eventually(rejected, (all) => all.length === 2);
  const said = found.map(({ actor, target, details }) => [actor.slice(0, 11), target, details.subject, details.earlier_repeats]);
  assert.deepEqual(said.sort(), [["session:ses", "header_malformed", "user_1", 0], ["session:ses", "subject_mismatch", "mallory", 0]]);
});

test("the log is the admins' and the operator's, by filters and pages", async () => {
  assert.deepEqual(statusAndCode(await viewer.get("/v1/audit")), [403, "role_insufficient"]);
  assert.deepEqual(statusAndCode(await viewer.get("/v1/audit/verify")), [403, "role_insufficient"]);
  assert.deepEqual(statusAndCode(await worker.api.get("/v1/audit")), [401, "unauthenticated"]);
  const all = await entries();
  assert.deepEqual(await entries("?limit=3"), all);
  assert.deepEqual(await entries("?action=key.create"), all.filter(({ action }) => action === "key.create"));
  assert.deepEqual(await entries("?actor=operator&limit=1"), all.filter(({ actor }) => actor === "operator"));
  assert.deepEqual(await entries(`?target=k1-2`), all.filter(({ target }) => target === "k1-2"));
  const middle = all[4]!.at;
  assert.deepEqual(await entries(`?from=${middle}`), all.filter(({ at }) => at >= middle));
  assert.deepEqual(await entries(`?to=${middle}`), all.filter(({ at }) => at < middle));
  assert.deepEqual(statusAndCode(await admin.get("/v1/audit?action=key.steal")), [400, "parameter_invalid"]);
  assert.deepEqual(statusAndCode(await admin.get("/v1/audit?color=red")), [400, "parameter_unknown"]);
  const operator = worker.api.withKey(worker.operatorKey);
  assert.deepEqual((await operator.get(`/v1/projects/${project.id}/audit?limit=200`)).json.entries, all);
  assert.deepEqual(statusAndCode(await admin.request("DELETE", "/v1/audit")), [405, "method_not_allowed"]);
});

test("twenty entries at once make one unbroken chain", async () => {
  const replies = await Promise.all(Array.from({ length: 20 }, (_, index) => post("/v1/project/keys", { role: "ingest", name: `${index}` })));
  assert.deepEqual(replies.map(({ status }) => status), Array(20).fill(201));
  const { json } = await admin.get("/v1/audit/verify");
  const newest = (await entries())[0];
  assert.deepEqual(json, { verdict: "verified", entries: newest.seq, faults: [], head: { seq: newest.seq, hash: newest.hash }, next_cursor: null });
});

describe("verification", () => {
  /** Runs SQL on every project's log while the worker stands still, as somebody who holds the files could. */
  async function tamper(sql: string): Promise<void> {
    await worker.pause();
    const folder = join(worker.persist, "v3", "do", "stepseal-AuditLog");
    let changes = 0;
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".sqlite") && !name.startsWith("metadata"))) {
      const database = new DatabaseSync(join(folder, file));
      changes += Number(database.prepare(sql).run().changes);
      database.close();
    }
    assert.ok(changes > 0, "nothing was tampered with");
    await worker.resume();
    admin = worker.api.withKey(project.adminKey);
  }

  const verify = async (query = "") => (await admin.get(`/v1/audit/verify${query}`)).json;

  test("an entry that was noted earlier proves itself", async () => {
    const [newest, , third] = await entries();
    assert.equal((await verify(`?seq=${third.seq}&hash=${third.hash}`)).verdict, "verified");
    const other = await verify(`?seq=${third.seq}&hash=${newest.hash}`);
    assert.deepEqual([other.verdict, other.faults], ["tampered", [{ kind: "not_the_noted", seq: third.seq }]]);
    assert.deepEqual(statusAndCode(await admin.get("/v1/audit/verify?seq=1")), [400, "parameter_invalid"]);
  });

  test("finds an altered text, an altered column, a removed entry and a cut-off end", async () => {
    const { seq: last, hash } = (await entries())[0];
    await tamper("UPDATE entries SET text = replace(text, 'viewer', 'admin') WHERE seq = 3");
    assert.deepEqual((await verify()).faults, [{ kind: "altered", seq: 3 }]);
    await tamper("UPDATE entries SET actor = 'key_0000000000000000' WHERE seq = 6");
    assert.deepEqual((await verify()).faults, [{ kind: "altered", seq: 3 }, { kind: "altered", seq: 6 }]);
    await tamper("DELETE FROM entries WHERE seq = 8");
    assert.deepEqual((await verify()).faults.slice(2), [{ kind: "missing", from: 8, to: 8 }]);
    await tamper(`DELETE FROM entries WHERE seq >= ${last - 1}`);
    const report = await verify(`?seq=${last}&hash=${hash}`);
    assert.deepEqual(report.faults.slice(3), [{ kind: "missing", from: last - 1, to: last }, { kind: "not_the_noted", seq: last }]);
    assert.equal(report.verdict, "tampered");
  });
});
