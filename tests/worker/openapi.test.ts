// The OpenAPI document is true: every operation in it, with every kind of credential, is refused or allowed as it
// says, and answers no status that it does not name.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Reply } from "../client/api.ts";
import { checkReply } from "../client/document.ts";
import { body, executionId, seal, session, smallExecution } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

type Operation = { id: string; method: string; path: string; access: string; statuses: Set<string>; body: boolean };

const worker = await Worker.start();
const document = (await worker.api.get("/openapi.json")).json;
const operations: Operation[] = Object.entries<any>(document.paths).flatMap(([path, item]) =>
  Object.entries<any>(item).map(([method, operation]) => ({
    id: operation.operationId, method: method.toUpperCase(), path, access: operation["x-access"],
    statuses: new Set(Object.keys(operation.responses)), body: operation.requestBody !== undefined,
  })));

let project: Project;
let other: Project;
let execution: string;
let keyId: string;
/** A kid that the other project does not have. */
const KID = "k1-4";
const credentials = new Map<string, string | undefined>();

before(async () => {
  project = await worker.createProject("prj_matrix");
  other = await worker.createProject("prj_elsewhere");
  await worker.createProject("prj_scratch");
  execution = executionId();
  const sender = session(project.secret, project.id, project.kid);
  for (const own of [project, other]) {
    const x = own === project ? execution : executionId();
    assert.equal((await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), body(x, smallExecution())))).json.code, "stored");
  }
  await worker.runChores();
  const admin = worker.api.withKey(project.adminKey);
  assert.equal((await admin.request("PUT", "/v1/project/prices", '{"expected_version":0,"prices":[]}')).status, 200);
  const make = async (role: string, more: object = {}) => (await admin.request("POST", "/v1/project/keys", JSON.stringify({ role, name: role, ...more }))).json;
  const [ingest, expired, revoked] = [await make("ingest"), await make("admin", { expires_at: Date.now() + 300 }), await make("admin")];
  keyId = ingest.id;
  await admin.request("DELETE", `/v1/project/keys/${revoked.id}`);
  for (let generation = 2; generation <= 4; generation++) await admin.request("POST", "/v1/project/generations");
  credentials.set("no credential", undefined);
  credentials.set("nonsense", "nonsense");
  credentials.set("session token", sender.token);
  credentials.set("ingest", ingest.key);
  credentials.set("viewer", project.viewerKey);
  credentials.set("admin", project.adminKey);
  credentials.set("expired", expired.key);
  credentials.set("revoked", revoked.key);
  credentials.set("admin of another project", other.adminKey);
  credentials.set("operator", worker.operatorKey);
  await delay(350);
});

after(() => worker.stop());

const UNAUTHENTICATED = [401, "unauthenticated"] as const;
const INVALID = [401, "credential_invalid"] as const;
const ROLE = [403, "role_insufficient"] as const;

/** Why a credential is refused; none if it is allowed. */
function refusal(access: string, credential: string): readonly [number, string] | undefined {
  if (access === "anyone" || access === "signature") return undefined;
  if (credential === "no credential") return UNAUTHENTICATED;
  if (credential === "nonsense") return INVALID;
  if (access === "operator") {
    if (credential === "operator") return undefined;
    // Whose key it is does not matter where none is taken.
    return credential === "session token" ? INVALID : ROLE;
  }
  if (credential === "expired" || credential === "revoked") return INVALID;
  if (credential === "ingest" && access === "writer") return undefined;
  if (credential === "session token" || credential === "ingest") return ROLE;
  if (credential === "operator") return access === "admin or operator" ? undefined : INVALID;
  if (credential === "viewer" && access !== "reader") return ROLE;
  return undefined;
}

/** The path of an operation about what the first project has; the operator's are about a project of no use. */
function filled(path: string, ids: { execution: string; key: string; kid: string; version: string; other: string }): string {
  const values: Record<string, string> = { ...ids, project: "prj_scratch" };
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    assert.ok(name in values, `the test knows no ${name}`);
    return values[name]!;
  });
}

const ABSENT = { execution: "run_0123456789abcdef", key: "key_none", kid: "k1-77", version: "77", other: "run_0123456789abcdef" };

async function ask({ method, path, body }: Operation, key: string | undefined, ids: typeof ABSENT): Promise<Reply> {
  const authorization: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response = await fetch(worker.url + filled(path, ids), { method, headers: authorization, body: body ? "{}" : null });
  const endless = response.headers.get("content-type") === "text/event-stream";
  const text = endless ? String(await response.body!.cancel()) : await response.text();
  const json = response.headers.get("content-type")?.includes("json") && !response.headers.get("content-type")!.includes("ndjson") ? JSON.parse(text) : text;
  return { status: response.status, headers: response.headers, json };
}

describe("the tests' client holds replies to the document", () => {
  const reply = (status: number, type = "application/json") => new Response(null, { status, headers: { "content-type": type } });
  const check = (path: string, response: Response, json: unknown, method = "GET") => checkReply(worker.url, method, path, response, json);
  const list = { executions: [], next_cursor: null, window: { from: 1, to: null } };

  test("what it describes passes", async () => {
    await check("/v1/executions?limit=1", reply(200), list);
    await check("/v1/nowhere", reply(404, "application/problem+json"), { code: "route_not_found" });
  });

  test("another shape, status or type does not", async () => {
    await assert.rejects(check("/v1/executions", reply(200), { ...list, executions: [{ status: "lost" }] }), /executions\/0\/status/);
    await assert.rejects(check("/v1/executions", reply(200), { executions: [] }), /next_cursor/);
    await assert.rejects(check("/v1/executions", reply(418), {}), /no such status/);
    await assert.rejects(check("/v1/executions", reply(200, "text/html"), undefined), /no text\/html/);
    await assert.rejects(check("/v1/executions/run_0000000000000001", reply(404, "application/problem+json"), { code: "no_such_code" }), /code/);
  });
});

describe("every operation with every credential", () => {
  test("the document is one, and names every operation once", () => {
    assert.equal(document.openapi, "3.1.0");
    assert.ok(operations.length >= 50, `${operations.length} operations`);
    assert.equal(new Set(operations.map(({ id }) => id)).size, operations.length);
  });

  for (const operation of operations) {
    test(`${operation.id}: ${operation.method} ${operation.path}`, async () => {
      for (const [credential, key] of credentials) {
        // What is allowed and deletes is asked about what is not there.
        const reply = await ask(operation, key, ABSENT);
        const expected = refusal(operation.access, credential);
        const cell = `${credential}: ${reply.status} ${JSON.stringify(reply.json).slice(0, 200)}`;
        if (expected) assert.deepEqual([reply.status, reply.json.code], expected, cell);
        else assert.ok(![401, 403].includes(reply.status) || operation.access === "anyone", cell);
        assert.ok(reply.status < 500, cell);
        assert.ok(operation.statuses.has(String(reply.status)), `not documented: ${cell}`);
        if (reply.status >= 400) assert.equal(reply.headers.get("content-type"), "application/problem+json", cell);
        assert.equal(reply.headers.get("cache-control"), "no-store");
      }
    });
  }
});

describe("what belongs to another project is not there", () => {
  const about = operations.filter(({ path, access }) => /\{(execution|key|kid|version)\}/.test(path) && access !== "operator");

  test("there are such operations", () => assert.ok(about.length >= 6, `${about.length}`));

  for (const operation of about) {
    test(`${operation.id} is 404 for the other's admin`, async () => {
      const reply = await ask(operation, other.adminKey, { execution, key: keyId, kid: KID, version: "1", other: execution });
      assert.equal(reply.status, 404, JSON.stringify(reply.json));
      assert.match(reply.json.code, /_not_found$/);
    });
  }

  test("and all of it is still there for its own", async () => {
    const admin = worker.api.withKey(project.adminKey);
    assert.equal((await admin.get(`/v1/executions/${execution}/verify`)).json.verdict, "verified");
    const { json } = await admin.get("/v1/project/keys");
    assert.equal(json.keys.find(({ id }: any) => id === keyId).revoked_at, null);
    assert.ok((await admin.get("/v1/project")).json.kids.includes(KID));
  });

  test("a list shows the other's own and nothing of ours", async () => {
    const admin = worker.api.withKey(other.adminKey);
    for (const { path, method, access } of operations) {
      if (method !== "GET" || path.includes("{") || !["reader", "admin", "admin or operator"].includes(access)) continue;
      const response = await fetch(worker.url + path, { headers: { authorization: `Bearer ${admin.key}` } });
      // What never ends has a test of its own (live.test.ts).
      const endless = response.headers.get("content-type") === "text/event-stream";
      const text = endless ? String(await response.body!.cancel()) : await response.text();
      assert.equal(response.status, 200, `${path}: ${text}`);
      for (const ours of [project.id, execution, keyId]) assert.ok(!text.includes(ours), `${path} shows ${ours}`);
    }
  });
});
