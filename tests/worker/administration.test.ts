// Projects, API keys, key generations and the deny-list, as administrators and the operator use them.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { randomBytes } from "node:crypto";
import type { Api, Reply } from "../client/api.ts";
import { body, executionId, seal, session, smallExecution } from "../client/batches.ts";
import { projectSecret, readSecret } from "../client/keys.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;
let other: Project;
let admin: Api;
let operator: Api;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_a");
  other = await worker.createProject("prj_b");
  admin = worker.api.withKey(project.adminKey);
  operator = worker.api.withKey(worker.operatorKey);
});

after(() => worker.stop());

const post = (api: Api, path: string, wanted: object = {}) => api.request("POST", path, JSON.stringify(wanted));
const statusAndCode = (reply: Reply) => [reply.status, reply.json.code];
const small = () => body(executionId(), smallExecution());
const sendAs = (claims: object, kid = project.kid, secret = project.secret) =>
  worker.api.sendBatch(seal(session(secret, project.id, kid, claims), small()));

describe("API keys", () => {
  test("a key is shown once, stored as a digest, and opens what its role allows", async () => {
    const made = await post(admin, "/v1/project/keys", { role: "viewer", name: "reports" });
    assert.equal(made.status, 201);
    assert.match(made.json.key, /^stepseal_viewer_[0-9a-f]{40}$/);
    assert.match(made.json.id, /^key_[0-9a-f]{16}$/);
    assert.deepEqual([made.json.role, made.json.name, made.json.expires_at], ["viewer", "reports", null]);
    const viewer = worker.api.withKey(made.json.key);
    assert.equal((await viewer.get("/v1/project")).json.id, project.id);
    assert.deepEqual(statusAndCode(await viewer.get("/v1/project/keys")), [403, "role_insufficient"]);
    const listed = await admin.get("/v1/project/keys");
    assert.ok(!JSON.stringify(listed.json).includes(made.json.key));
    const { created_at, ...row } = listed.json.keys.find((key: any) => key.id === made.json.id);
    const today = new Date().toISOString().slice(0, 10);
    assert.deepEqual(row, { id: made.json.id, role: "viewer", name: "reports", expires_at: null, revoked_at: null, last_used_on: today });
    assert.ok(Math.abs(created_at - Date.now()) < 10_000);
    const database = await worker.database();
    const { results } = await database.prepare("SELECT * FROM api_keys").all();
    assert.ok(!JSON.stringify(results).includes(made.json.key.slice(-40)));
  });

  test("an ingest key reads nothing; an expired one opens nothing", async () => {
    const ingest = await post(admin, "/v1/project/keys", { role: "ingest", name: "agent" });
    assert.deepEqual(statusAndCode(await worker.api.withKey(ingest.json.key).get("/v1/executions")), [403, "role_insufficient"]);
    const short = await post(admin, "/v1/project/keys", { role: "viewer", name: "short", expires_at: Date.now() + 700 });
    assert.equal((await worker.api.withKey(short.json.key).get("/v1/project")).status, 200);
    await delay(750);
    assert.deepEqual(statusAndCode(await worker.api.withKey(short.json.key).get("/v1/project")), [401, "credential_invalid"]);
    assert.deepEqual(statusAndCode(await post(admin, `/v1/project/keys/${short.json.id}/rotate`)), [409, "key_ended"]);
  });

  test("a revoked key ends at once here, and stays listed", async () => {
    const made = await post(admin, "/v1/project/keys", { role: "viewer", name: "leaked" });
    const viewer = worker.api.withKey(made.json.key);
    assert.equal((await viewer.get("/v1/project")).status, 200);
    assert.deepEqual((await admin.request("DELETE", `/v1/project/keys/${made.json.id}`)).json, { revoked: made.json.id });
    assert.deepEqual(statusAndCode(await viewer.get("/v1/project")), [401, "credential_invalid"]);
    const { json } = await admin.get("/v1/project/keys");
    assert.ok(json.keys.find((key: any) => key.id === made.json.id).revoked_at > 0);
    assert.equal((await admin.request("DELETE", `/v1/project/keys/${made.json.id}`)).status, 200);
    assert.deepEqual(statusAndCode(await post(admin, `/v1/project/keys/${made.json.id}/rotate`)), [409, "key_ended"]);
  });

  test("a key that another isolate revoked ends within 60 s", async () => {
    const made = await post(admin, "/v1/project/keys", { role: "viewer", name: "elsewhere" });
    const viewer = worker.api.withKey(made.json.key);
    assert.equal((await viewer.get("/v1/project")).status, 200);
    const database = await worker.database();
    const row = await database.prepare("SELECT digest FROM api_keys WHERE id = ?1").bind(made.json.id).first<{ digest: string }>();
    await (await worker.config()).delete(`api-key/${row!.digest}`);
    const revoked = Date.now();
    while ((await viewer.get("/v1/project")).status === 200) {
      assert.ok(Date.now() - revoked < 60_000, "still open after 60 s");
      await delay(500);
    }
  });

  test("rotation: both work in the overlap, then only the new one", async () => {
    const old = await post(admin, "/v1/project/keys", { role: "viewer", name: "ci" });
    const made = await post(admin, `/v1/project/keys/${old.json.id}/rotate`, { overlap_s: 1 });
    assert.equal(made.status, 201);
    assert.deepEqual([made.json.role, made.json.name, made.json.replaces.id], ["viewer", "ci", old.json.id]);
    const [before, fresh] = [worker.api.withKey(old.json.key), worker.api.withKey(made.json.key)];
    assert.deepEqual([(await before.get("/v1/project")).status, (await fresh.get("/v1/project")).status], [200, 200]);
    await delay(made.json.replaces.expires_at - Date.now() + 50);
    assert.deepEqual([(await before.get("/v1/project")).status, (await fresh.get("/v1/project")).status], [401, 200]);
  });

  test("requests that do not hold, and keys that are not there", async () => {
    const wrong: [object, string | undefined][] = [
      [{ role: "root", name: "x" }, undefined], [{ role: "viewer" }, undefined], [{ role: "viewer", name: "x", scope: 1 }, undefined],
      [{ role: "viewer", name: "" }, "name"], [{ role: "viewer", name: "x", expires_at: 1 }, "expires_at"],
    ];
    for (const [wanted, field] of wrong) {
      const reply = await post(admin, "/v1/project/keys", wanted);
      assert.deepEqual([...statusAndCode(reply), reply.json.field], [400, "request_malformed", field]);
    }
    const { json } = await worker.api.withKey(other.adminKey).get("/v1/project/keys");
    for (const id of ["key_none", json.keys[0].id]) {
      assert.deepEqual(statusAndCode(await admin.request("DELETE", `/v1/project/keys/${id}`)), [404, "key_not_found"]);
      assert.deepEqual(statusAndCode(await post(admin, `/v1/project/keys/${id}/rotate`)), [404, "key_not_found"]);
    }
  });
});

describe("key generations", () => {
  test("a rotation loses no batch: both are accepted until the old one is retired", async () => {
    const added = await post(admin, "/v1/project/generations");
    assert.deepEqual([added.status, added.json.kid, added.json.kids], [201, "k1-2", ["k1", "k1-2"]]);
    const secret = readSecret(added.json.project_secret);
    assert.deepEqual(secret, projectSecret(worker.root, project.id, "k1-2"));
    assert.equal((await sendAs({}, "k1")).json.code, "stored");
    assert.equal((await sendAs({}, "k1-2", secret)).json.code, "stored");
    assert.deepEqual((await admin.request("DELETE", "/v1/project/generations/k1")).json, { retired: "k1", kids: ["k1-2"] });
    assert.deepEqual(statusAndCode(await sendAs({}, "k1")), [401, "key_retired"]);
    assert.equal((await sendAs({}, "k1-2", secret)).json.code, "stored");
    assert.deepEqual(statusAndCode(await admin.request("DELETE", "/v1/project/generations/k1-2")), [409, "last_generation"]);
    assert.deepEqual(statusAndCode(await admin.request("DELETE", "/v1/project/generations/k1")), [404, "generation_not_found"]);
    [project.kid, project.secret] = ["k1-2", secret];
  });

  test("what was stored under a retired generation still verifies", async () => {
    const own = await worker.createProject("prj_generations");
    const x = executionId();
    assert.equal((await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), body(x, smallExecution())))).json.code, "stored");
    const api = worker.api.withKey(own.adminKey);
    await post(api, "/v1/project/generations");
    await api.request("DELETE", "/v1/project/generations/k1");
    assert.equal((await api.get(`/v1/executions/${x}/verify`)).json.verdict, "verified");
  });
});

describe("the deny-list", () => {
  test("a session, and every session of a subject, until it is taken off", async () => {
    const sid = "ses_0123456789abcdef";
    assert.equal((await sendAs({ sid })).json.code, "stored");
    const denied = await post(admin, "/v1/project/denials", { session: sid });
    assert.equal(denied.status, 201);
    assert.equal(denied.json.denial.until - denied.json.denial.denied_at, 3_900_000);
    assert.deepEqual(statusAndCode(await sendAs({ sid })), [403, "session_denied"]);
    assert.equal((await sendAs({})).json.code, "stored");
    await post(admin, "/v1/project/denials", { subject: "eve&co" });
    assert.deepEqual(statusAndCode(await sendAs({ sub: "eve&co" })), [403, "session_denied"]);
    const { json } = await admin.get("/v1/project/denials");
    assert.deepEqual(json.denials.map(({ kind, value }: any) => [kind, value]), [["session", sid], ["subject", "eve&co"]]);
    assert.equal((await admin.request("DELETE", "/v1/project/denials?subject=eve%26co")).status, 200);
    assert.equal((await sendAs({ sub: "eve&co" })).json.code, "stored");
    assert.deepEqual(statusAndCode(await admin.request("DELETE", "/v1/project/denials?subject=eve%26co")), [404, "denial_not_found"]);
    assert.deepEqual(statusAndCode(await admin.request("DELETE", "/v1/project/denials?user=eve")), [400, "parameter_unknown"]);
    assert.deepEqual(statusAndCode(await post(admin, "/v1/project/denials", {})), [400, "request_malformed"]);
  });

  test("an anonymous browser's subject gets no new session", async () => {
    const own = await worker.createProject("prj_anonymous", { origins: ["https://app.example.com"] });
    const mint = () => worker.api.request("POST", "/v1/sessions", JSON.stringify({ publishable_key: own.publishableKey, install }), { origin: "https://app.example.com" });
    const install = randomBytes(16).toString("base64url");
    const minted = await mint();
    assert.equal((await post(worker.api.withKey(own.adminKey), "/v1/project/denials", { subject: minted.json.subject })).status, 201);
    assert.deepEqual(statusAndCode(await mint()), [403, "session_denied"]);
  });
});

describe("projects", () => {
  test("the operator lists all, page by page; nobody else does", async () => {
    const projects = await operator.all("/v1/projects?limit=2", "projects");
    const ids = projects.map(({ id }) => id);
    assert.deepEqual(ids, [...ids].sort());
    assert.ok(ids.includes(project.id) && ids.includes(other.id));
    assert.ok(!JSON.stringify(projects).includes("whsec_"));
    assert.deepEqual(statusAndCode(await admin.get("/v1/projects")), [403, "role_insufficient"]);
    assert.deepEqual(statusAndCode(await worker.api.get("/v1/projects")), [401, "unauthenticated"]);
    assert.equal((await operator.get(`/v1/projects/${other.id}`)).json.project.id, other.id);
    assert.deepEqual(statusAndCode(await operator.get("/v1/projects/prj_none")), [404, "project_not_found"]);
  });

  test("an admin renames and pauses its own, and sets no limits; a viewer changes nothing", async () => {
    const change = (api: Api, wanted: object) => api.request("PATCH", "/v1/project", JSON.stringify(wanted));
    const own = worker.api.withKey(other.adminKey);
    assert.equal((await change(own, { name: "Renamed", origins: ["https://b.example.com"] })).json.project.name, "Renamed");
    assert.equal((await change(own, { status: "paused" })).json.project.status, "paused");
    assert.equal((await change(own, { status: "active" })).json.project.status, "active");
    const limits = { bytes_per_s: 1, bytes_burst: 10_000_000, steps_per_s: 1, steps_burst: 10_000 };
    assert.deepEqual(statusAndCode(await change(own, { limits })), [403, "role_insufficient"]);
    assert.deepEqual(statusAndCode(await change(worker.api.withKey(other.viewerKey), { name: "x" })), [403, "role_insufficient"]);
    assert.equal((await operator.get(`/v1/projects/${other.id}`)).json.project.name, "Renamed");
  });

  test("the operator does for a project what its admins do", async () => {
    const made = await post(operator, `/v1/projects/${other.id}/keys`, { role: "admin", name: "recovery" });
    assert.equal((await worker.api.withKey(made.json.key).get("/v1/project")).json.id, other.id);
    assert.equal((await operator.request("DELETE", `/v1/projects/${other.id}/keys/${made.json.id}`)).status, 200);
    assert.deepEqual(statusAndCode(await post(operator, "/v1/projects/prj_none/keys", { role: "admin", name: "x" })), [404, "project_not_found"]);
    assert.deepEqual(statusAndCode(await post(admin, `/v1/projects/${project.id}/keys`, { role: "admin", name: "x" })), [403, "role_insufficient"]);
    assert.deepEqual(statusAndCode(await operator.get("/v1/project/keys")), [401, "credential_invalid"]);
  });

  test("twelve changes at once: none is lost", async () => {
    const subjects = Array.from({ length: 12 }, (_, index) => `subject_${index}`);
    const api = worker.api.withKey(other.adminKey);
    const replies = await Promise.all(subjects.map((subject) => post(api, "/v1/project/denials", { subject })));
    const done = subjects.filter((_, index) => replies[index]!.status === 201);
    for (const reply of replies) assert.ok(reply.status === 201 || reply.json.code === "changed_meanwhile", JSON.stringify(reply.json));
    const { json } = await api.get("/v1/project/denials");
    assert.deepEqual(json.denials.map(({ value }: any) => value).sort(), done.sort());
    const published = JSON.parse((await (await worker.config()).get(`project/${other.id}`, "text"))!);
    assert.deepEqual(published.denials, json.denials);
  });

  test("routes that are not there, and methods", async () => {
    assert.deepEqual(statusAndCode(await admin.get("/v1/project/nothing")), [404, "route_not_found"]);
    assert.deepEqual(statusAndCode(await admin.request("PUT", "/v1/project/keys", "{}")), [405, "method_not_allowed"]);
    assert.deepEqual(statusAndCode(await operator.request("POST", `/v1/projects/${other.id}`, "{}")), [405, "method_not_allowed"]);
  });
});
