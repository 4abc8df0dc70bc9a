// Bad input: each gets a problem document that says what, where and what to do, and stores nothing.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Api, Reply } from "../client/api.ts";
import { batchId, body, chain, executionId, nowS, seal, session, smallExecution, type Event } from "../client/batches.ts";
import { projectSecret, sessionKey, sha256, token } from "../client/keys.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;
let other: Project;
let rowsBefore: number[];

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_a");
  other = await worker.createProject("prj_b");
});

after(() => worker.stop());

async function rows(): Promise<number[]> {
  const database = await worker.database();
  const count = async (table: string) => (await database.prepare(`SELECT count(*) AS n FROM ${table}`).first<{ n: number }>())!.n;
  return [await count("segments"), await count("executions")];
}

beforeEach(async () => {
  rowsBefore = await rows();
});

type Expected = { status: number; code: string; line?: number; field?: string };

function assertProblem(reply: Reply, { status, code, line, field }: Expected): void {
  assert.equal(reply.status, status, JSON.stringify(reply.json));
  assert.equal(reply.headers.get("content-type"), "application/problem+json");
  assert.equal(reply.json.type, `urn:stepseal:problem:${code}`);
  assert.equal(reply.json.code, code);
  assert.equal(reply.json.status, status);
  assert.ok(reply.json.title.length > 0 && reply.json.detail.length > 0);
  assert.deepEqual({ line: reply.json.line, field: reply.json.field }, { line, field });
}

/** The reply is this problem, carries the server's time, may be read by any page, and nothing was stored. */
async function assertRefused(reply: Reply, expected: Expected): Promise<void> {
  assertProblem(reply, expected);
  assert.ok(Math.abs(reply.json.server_time - Date.now()) < 10_000);
  assert.equal(reply.headers.get("access-control-allow-origin"), "*");
  assert.deepEqual(await rows(), rowsBefore);
}

const ordinary = (claims = {}) => session(project.secret, project.id, project.kid, claims);
const sealed = (bytes: Uint8Array, options = {}) => seal(ordinary(), bytes, options);
const small = () => body(executionId(), smallExecution());
const send = (bytes: Uint8Array, headers = {}) => worker.api.sendBatch(bytes, headers);

describe("what proves nothing", () => {
  const forged = { status: 401, code: "signature_invalid" };

  test("a body changed after it was signed", async () => {
    const bytes = sealed(small());
    bytes[bytes.length - 5]! ^= 1;
    await assertRefused(await send(bytes), forged);
  });

  test("claims changed after the key was derived", async () => {
    const { token: text, key } = ordinary();
    const [version, id, kid, claims] = text.split(".");
    const changed = JSON.parse(Buffer.from(claims!, "base64url").toString());
    changed.sub = "somebody_else";
    const forgedToken = [version, id, kid, Buffer.from(JSON.stringify(changed)).toString("base64url")].join(".");
    await assertRefused(await send(seal({ token: forgedToken, key }, small())), forged);
  });

  test("another project's key", async () => {
    const mine = ordinary();
    const key = sessionKey(other.secret, mine.token);
    await assertRefused(await send(seal({ token: mine.token, key }, small())), forged);
  });

  test("a batch id or a time that was not signed", async () => {
    const text = sealed(small(), { id: "bat_0000000000000001" }).toString("latin1");
    await assertRefused(await send(Buffer.from(text.replace("bat_0000000000000001", "bat_0000000000000002"), "latin1")), forged);
    const ts = nowS();
    const timed = sealed(small(), { ts }).toString("latin1");
    await assertRefused(await send(Buffer.from(timed.replace(` ${ts} `, ` ${ts + 1} `), "latin1")), forged);
  });

  test("an unknown key and a project that does not exist", async () => {
    const unknown = session(project.secret, project.id, "k9");
    await assertRefused(await send(seal(unknown, small())), { status: 401, code: "key_unknown" });
    const absent = session(projectSecret(worker.root, "prj_none", "k1"), "prj_none", "k1");
    await assertRefused(await send(seal(absent, small())), { status: 403, code: "project_unknown" });
    const retired = session(projectSecret(worker.root, project.id, "k1-2"), project.id, "k1-2");
    await assertRefused(await send(seal(retired, small())), { status: 401, code: "key_retired" });
  });
});

describe("sessions and times", () => {
  test("an expired session, and one from the future", async () => {
    const past = nowS() - 2_000;
    await assertRefused(await send(seal(ordinary({ iat: past, exp: past + 900 }), small())), { status: 401, code: "session_expired" });
    const ahead = nowS() + 400;
    await assertRefused(await send(seal(ordinary({ iat: ahead, exp: ahead + 900 }), small())), { status: 401, code: "session_not_yet_valid" });
    const slightlyAhead = nowS() + 200;
    assert.equal((await send(seal(ordinary({ iat: slightlyAhead, exp: slightlyAhead + 900 }), small()))).status, 200);
  });

  test("a time outside the window; corrected by server_time it is accepted", async () => {
    for (const wrong of [-301, 302, -86_400, 86_400]) {
      const bytes = small();
      const id = batchId();
      const reply = await send(sealed(bytes, { id, ts: nowS() + wrong }));
      rowsBefore = await rows();
      await assertRefused(reply, { status: 401, code: "timestamp_outside_window" });
      const corrected = Math.floor(reply.json.server_time / 1_000);
      assert.equal((await send(sealed(bytes, { id, ts: corrected }))).json.code, "stored");
      rowsBefore = await rows();
    }
  });

  test("another origin, or none, where the session names one", async () => {
    const bound = ordinary({ org: "https://app.example.com" });
    const refused = { status: 403, code: "origin_mismatch" };
    await assertRefused(await send(seal(bound, small())), refused);
    await assertRefused(await send(seal(bound, small()), { origin: "https://evil.example.com" }), refused);
    await assertRefused(await send(seal(bound, small()), { origin: "https://app.example.com.evil.com" }), refused);
    assert.equal((await send(seal(bound, small()), { origin: "https://app.example.com" })).status, 200);
  });

  test("claims that no session may have", async () => {
    const iat = nowS();
    const malformed = { status: 400, code: "token_malformed", field: "token" };
    for (const claims of [{ exp: iat + 3_601 }, { exp: iat }, { v: 2 }, { scp: "admin" }, { sub: "" }, { sid: "s".repeat(65) }, { was: ["a", "b", "c", "d", "e"] }]) {
      await assertRefused(await send(seal(ordinary(claims as never), small())), malformed);
    }
    const long = token(project.id, project.kid, { v: 1, sub: "s".repeat(500), sid: "s", iat, exp: iat + 900, scp: "ingest" });
    await assertRefused(await send(seal({ token: long, key: project.secret }, small())), malformed);
  });
});

describe("the frame", () => {
  test("an unknown version", async () => {
    const bytes = sealed(small());
    bytes[1] = "2".charCodeAt(0);
    await assertRefused(await send(bytes), { status: 400, code: "version_unsupported" });
  });

  test("a first line that is none", async () => {
    const malformed = { status: 400, code: "envelope_malformed" };
    const line = sealed(small()).toString("latin1");
    const wrong = [
      "", "{}", "b1\n", "hello there\n{}", `${"x".repeat(2_000)}\n`, line.replace("b1 ", "b1  "), line.replace("b1 ", "c1 "),
      line.replace(/ bat_\w+ /, " bat.00000000000000001 "), line.replace(/ \d{10} /, " 0790000000 "), line.replace(/ \d{10} /, " 99 "),
      line.replace("v1,", "v2,"), line.replace("v1,", "v1,A"), line.replace(/=\n/, "\n"), `\u00e9${line}`,
    ];
    for (const text of wrong) await assertRefused(await send(Buffer.from(text, "latin1")), malformed);
  });

  test("a body over the limit, announced or not", async () => {
    const large = sealed(Buffer.alloc(900_001, "x"));
    const tooLarge = { status: 413, code: "body_too_large" };
    await assertRefused(await send(Buffer.concat([large, Buffer.alloc(1_100, "x")])), tooLarge);
    const stream = new ReadableStream({
      start(controller) {
        for (let sent = 0; sent < 20; sent++) controller.enqueue(new Uint8Array(100_000));
        controller.close();
      },
    });
    const init = { method: "POST", body: stream, duplex: "half", headers: { "content-type": "text/plain" } };
    const response = await fetch(`${worker.url}/v1/batches`, init as RequestInit);
    await assertRefused({ status: response.status, headers: response.headers, json: await response.json() }, tooLarge);
  });
});

describe("the body", () => {
  const header = { v: 1, x: "run_0000000000000001", k: 0, prev: "", n: 0 };
  const raw = (...lines: unknown[]) => Buffer.from(lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n") + "\n");
  const event = (n: number, more = {}) => ({ t: "log", n, at: 1_790_000_000_000, ...more });
  const refused = async (bytes: Uint8Array, expected: Expected) => assertRefused(await send(sealed(bytes)), expected);

  test("a gzip bomb, and a body that inflates too far", async () => {
    await refused(gzipSync(Buffer.alloc(7_000_000, " ")), { status: 413, code: "inflated_too_large" });
    const incompressible = Array.from({ length: 900 }, (_, n) => JSON.stringify(event(n, { body: `${n}`.repeat(3_000) })));
    await refused(gzipSync(raw(header, ...incompressible)), { status: 413, code: "inflated_too_large" });
  });

  test("gzip that is cut or followed by more", async () => {
    const whole = gzipSync(raw(header, event(0)));
    await refused(whole.subarray(0, -1), { status: 400, code: "body_malformed" });
    await refused(Buffer.concat([whole, Buffer.from("x")]), { status: 400, code: "body_malformed" });
  });

  test("nesting deeper than 64, by line; 64 is accepted", async () => {
    const nested = (depth: number) => `{"t":"log","n":0,"at":1,"body":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
    await refused(raw(header, nested(65)), { status: 400, code: "nesting_too_deep", line: 2 });
    await refused(raw(header, nested(100_000)), { status: 400, code: "nesting_too_deep", line: 2 });
    assert.equal((await send(sealed(raw({ ...header, x: executionId() }, nested(64))))).status, 200);
  });

  test("invalid UTF-8, by line", async () => {
    const bytes = raw(header, event(0), event(1, { body: "?" }));
    bytes[bytes.lastIndexOf("?")] = 0xff;
    await refused(bytes, { status: 400, code: "utf8_invalid", line: 3 });
  });

  test("numbers that do not follow one another, by line", async () => {
    await refused(raw(header, event(0), event(2)), { status: 400, code: "event_gap", line: 3, field: "n" });
    await refused(raw(header, event(1)), { status: 400, code: "event_gap", line: 2, field: "n" });
    await refused(raw(header, event(0), event(0)), { status: 400, code: "event_gap", line: 3, field: "n" });
  });

  test("too many events, and none", async () => {
    const events = Array.from({ length: 1_001 }, (_, n) => event(n));
    await refused(raw(header, ...events), { status: 400, code: "too_many_events", line: 1_002 });
    await refused(raw(header), { status: 400, code: "body_malformed", line: 2 });
  });

  test("lines that are no events", async () => {
    for (const line of ["", "null", "[]", "{", '{"t":"log"}', '{"n":0}', '{"t":"log","n":0}}', '{"t":"log","n":0,"n":0}', '{"t":"log","n":-1}']) {
      await refused(raw(header, line), { status: 400, code: "body_malformed", line: 2 });
    }
  });

  test("headers that break a rule", async () => {
    const wrong: [object, Expected["field"]][] = [
      [{ x: "short" }, "x"], [{ x: "run.0000000000000001" }, "x"], [{ w: "a b" }, "w"], [{ k: 1 }, "prev"],
      [{ prev: "A".repeat(43) }, "prev"], [{ k: 1, prev: "zz" }, "prev"], [{ n: 2 ** 53 }, "n"],
    ];
    for (const [change, field] of wrong) {
      await refused(raw({ ...header, ...change }, event(0)), { status: 400, code: "header_malformed", line: 1, field });
    }
    await refused(raw({ ...header, v: 2 }, event(0)), { status: 400, code: "version_unsupported", line: 1, field: "v" });
    for (const line of ["", "[]", '{"v":1}', "not json"]) {
      await refused(raw(line, event(0)), { status: 400, code: "header_malformed", line: 1 });
    }
  });

  test("a fault of one event is a verdict, and the batch is stored", async () => {
    const x = executionId();
    const step = { t: "step", id: "s", kind: "llm", name: "n", at: 1, duration_ms: 1, status: "ok" };
    const events: Event[] = [
      { t: "start", n: 0, at: 1, name: "n" }, { ...step, n: 1 }, { ...step, n: 2, kind: "magic" }, { ...step, n: 3, at: "now" },
      { ...step, n: 4, cost_usd: -1 }, { t: "surprise", n: 5, at: "x" }, { t: "end", n: 6, at: 2, status: "completed", last: 5 },
      { t: "end", n: 7, at: 2, status: "completed", last: 7 },
    ];
    const reply = await send(sealed(body(x, events)));
    assert.equal(reply.status, 200);
    const { received, stored, rejected, verdicts } = reply.json;
    assert.deepEqual({ received, stored, rejected }, { received: 8, stored: 4, rejected: 4 });
    assert.deepEqual(verdicts.map(({ n, line }: any) => [n, line]), [[2, 4], [3, 5], [4, 6], [6, 8]]);
    assert.match(verdicts[0].reason, /`kind`/);
    const { json } = await worker.api.withKey(project.viewerKey).get(`/v1/executions/${x}`);
    const { events: count, steps, rejected: kept, completeness } = json.execution;
    assert.deepEqual({ count, steps, kept, completeness }, { count: 8, steps: 1, kept: 4, completeness: "complete" });
  });
});

describe("what is stored already", () => {
  test("another body under a used key: 409 says where to go on, and that works", async () => {
    const x = executionId();
    const events = smallExecution();
    const [first, second] = chain(x, [events.slice(0, 2), events.slice(2)]);
    assert.equal((await send(sealed(first!))).json.code, "stored");
    rowsBefore = await rows();
    const reply = await send(sealed(body(x, events)));
    await assertRefused(reply, { status: 409, code: "batch_conflict" });
    assert.deepEqual(reply.json.stored, { sha256: sha256(first!, "hex"), n: 0, count: 2, next_k: 1, next_n: 2 });
    assert.equal((await send(sealed(second!))).json.code, "stored");
    const verified = await worker.api.withKey(project.viewerKey).get(`/v1/executions/${x}/verify`);
    assert.equal(verified.json.verdict, "verified");
  });

  test("another subject's execution, unless the session was that subject", async () => {
    const x = executionId();
    const events = smallExecution();
    const [first, second] = chain(x, [events.slice(0, 2), events.slice(2)]);
    assert.equal((await send(seal(ordinary({ sub: "alice" }), first!))).status, 200);
    rowsBefore = await rows();
    const mismatch = { status: 403, code: "subject_mismatch" };
    await assertRefused(await send(seal(ordinary({ sub: "bob" }), second!)), mismatch);
    await assertRefused(await send(seal(ordinary({ sub: "bob" }), first!)), mismatch);
    await assertRefused(await send(seal(ordinary({ sub: "bob", was: ["carol"] }), second!)), mismatch);
    assert.equal((await send(seal(ordinary({ sub: "bob", was: ["alice"] }), second!))).json.code, "stored");
    const api = worker.api.withKey(project.viewerKey);
    assert.equal((await api.get(`/v1/executions/${x}`)).json.execution.subject, "alice");
    assert.equal((await api.get(`/v1/executions/${x}/verify`)).json.verdict, "verified");
  });
});

describe("reading", () => {
  let viewer: Api;
  let stranger: Api;
  let x: string;

  before(async () => {
    viewer = worker.api.withKey(project.viewerKey);
    stranger = worker.api.withKey(other.viewerKey);
    x = executionId();
    for (const id of [x, executionId(), executionId()]) await send(sealed(body(id, smallExecution())));
  });

  const routes = () => ["/v1/executions", `/v1/executions/${x}`, `/v1/executions/${x}/steps`, `/v1/executions/${x}/verify`, "/v1/project"];

  test("without a key, with an ingest session, with a key that is none", async () => {
    for (const route of routes()) {
      assertProblem(await worker.api.get(route), { status: 401, code: "unauthenticated" });
      assertProblem(await worker.api.withKey(ordinary().token).get(route), { status: 403, code: "role_insufficient" });
      const typo = project.viewerKey.slice(0, -1) + (project.viewerKey.endsWith("0") ? "1" : "0");
      for (const key of [typo, "x", worker.operatorKey, project.projectSecret, project.publishableKey]) {
        assertProblem(await worker.api.withKey(key).get(route), { status: 401, code: "credential_invalid" });
      }
      assert.equal((await viewer.get(route)).status, 200);
      assert.equal((await worker.api.withKey(project.adminKey).get(route)).status, 200);
    }
  });

  test("across projects", async () => {
    for (const route of routes().slice(1, 4)) {
      assertProblem(await stranger.get(route), { status: 404, code: "execution_not_found" });
    }
    assert.deepEqual((await stranger.get("/v1/executions")).json.executions, []);
    assertProblem(await viewer.get("/v1/executions/run_0000000000000000"), { status: 404, code: "execution_not_found" });
    assertProblem(await viewer.get("/v1/executions/a'b"), { status: 404, code: "execution_not_found" });
  });

  test("parameters that are unknown or wrong", async () => {
    const wrong: [string, Expected][] = [
      ["color=red", { status: 400, code: "parameter_unknown", field: "color" }],
      ["status=done", { status: 400, code: "parameter_invalid", field: "status" }],
      ["limit=0", { status: 400, code: "parameter_invalid", field: "limit" }],
      ["limit=201", { status: 400, code: "parameter_invalid", field: "limit" }],
      ["limit=ten", { status: 400, code: "parameter_invalid", field: "limit" }],
      ["from=yesterday", { status: 400, code: "parameter_invalid", field: "from" }],
      ["from=2&to=1", { status: 400, code: "parameter_invalid", field: "to" }],
      ["limit=1&limit=2", { status: 400, code: "parameter_invalid", field: "limit" }],
      ["cursor=abc", { status: 400, code: "cursor_invalid", field: "cursor" }],
    ];
    for (const [query, expected] of wrong) assertProblem(await viewer.get(`/v1/executions?${query}`), expected);
    assertProblem(await viewer.get(`/v1/executions/${x}/steps?status=ok`), { status: 400, code: "parameter_unknown", field: "status" });
    assertProblem(await viewer.get(`/v1/executions/${x}?limit=1`), { status: 400, code: "parameter_unknown", field: "limit" });
  });

  test("cursors that were changed, or belong to another query or project", async () => {
    const first = await viewer.get("/v1/executions?limit=1");
    const cursor: string = first.json.next_cursor;
    const invalid = { status: 400, code: "cursor_invalid", field: "cursor" };
    const flipped = (cursor.startsWith("A") ? "B" : "A") + cursor.slice(1);
    assertProblem(await viewer.get(`/v1/executions?limit=1&cursor=${flipped}`), invalid);
    assertProblem(await viewer.get(`/v1/executions?limit=1&status=failed&cursor=${cursor}`), invalid);
    assertProblem(await stranger.get(`/v1/executions?limit=1&cursor=${cursor}`), invalid);
    assertProblem(await viewer.get(`/v1/executions/${x}/steps?cursor=${cursor}`), invalid);
    assert.equal((await viewer.get(`/v1/executions?limit=2&cursor=${cursor}`)).status, 200);
  });

  test("routes and methods that are not there", async () => {
    assertProblem(await viewer.get("/v1/nothing"), { status: 404, code: "route_not_found" });
    assertProblem(await viewer.request("PUT", `/v1/executions/${x}`, "{}"), { status: 405, code: "method_not_allowed" });
    assertProblem(await viewer.request("POST", "/v1/executions", "{}"), { status: 405, code: "method_not_allowed" });
  });

  test("projects are the operator's to create", async () => {
    const create = (api: Api, wanted: object) => api.request("POST", "/v1/projects", JSON.stringify(wanted));
    const operator = worker.api.withKey(worker.operatorKey);
    assertProblem(await create(worker.api, { id: "p", name: "p" }), { status: 401, code: "unauthenticated" });
    assertProblem(await create(worker.api.withKey(project.adminKey), { id: "p", name: "p" }), { status: 403, code: "role_insufficient" });
    assertProblem(await create(operator, { id: project.id, name: "again" }), { status: 409, code: "project_exists" });
    assertProblem(await create(operator, { id: "a.b", name: "p" }), { status: 400, code: "request_malformed", field: "id" });
    for (const origin of ["http://app.example.com", "https://app.example.com/", "https://app.example.com/x", "app", "*"]) {
      const reply = await create(operator, { id: "prj_c", name: "c", origins: [origin] });
      assertProblem(reply, { status: 400, code: "request_malformed", field: "origins" });
    }
    const limits = { bytes_per_s: 1, bytes_burst: 10, steps_per_s: 1, steps_burst: 1_000 };
    assertProblem(await create(operator, { id: "prj_c", name: "c", limits }), { status: 400, code: "request_malformed", field: "bytes_burst" });
  });
});
