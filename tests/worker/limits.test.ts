// Limits, minting and cross-origin rules of the ingest routes.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { batchId, body, executionId, nowS, seal, session, smallExecution, type Event } from "../client/batches.ts";
import { sign } from "../client/keys.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const EVENTS = 100;

function hundredEvents(): Buffer {
  const at = Date.now();
  const logs: Event[] = Array.from({ length: EVENTS }, (_, n) => ({ t: "log", n, at }));
  return body(executionId(), logs);
}

describe("the fair limit", () => {
  const LIMITS = { bytes_per_s: 1_000_000, bytes_burst: 2_000_000, steps_per_s: 200, steps_burst: 1_000 };
  let worker: Worker;
  let project: Project;

  before(async () => {
    worker = await Worker.start();
    project = await worker.createProject("prj_small", { limits: LIMITS });
  });
  after(() => worker.stop());

  const send = (bytes: Uint8Array) => worker.api.sendBatch(seal(session(project.secret, project.id, project.kid), bytes));

  test("parallel senders never get more than the bucket, and the refused are told when to come back", async () => {
    const started = Date.now();
    const bodies = Array.from({ length: 60 }, hundredEvents);
    const replies = await Promise.all(bodies.map(send));
    const elapsedS = (Date.now() - started) / 1_000;
    const admitted = replies.filter((reply) => reply.status === 200).length * EVENTS;
    assert.ok(admitted <= LIMITS.steps_burst + Math.ceil(elapsedS * LIMITS.steps_per_s), `${admitted} in ${elapsedS} s`);
    assert.ok(admitted >= LIMITS.steps_burst / 2, `${admitted} admitted`);
    const database = await worker.database();
    const stored = await database.prepare("SELECT sum(count) AS n FROM segments").first<{ n: number }>();
    assert.equal(stored!.n, admitted);

    const at = replies.findIndex((reply) => reply.status !== 200);
    const refused = replies[at]!;
    assert.deepEqual([refused.status, refused.json.code], [429, "rate_limited"]);
    assert.equal(refused.headers.get("retry-after"), String(refused.json.retry_after_s));
    assert.ok(refused.json.retry_after_s >= 1 && refused.json.retry_after_s <= 5);
    const policies = refused.headers.get("ratelimit-policy")!.split(", ");
    assert.deepEqual(policies.slice(0, 2), ['"bytes";q=2000000;w=2;qu="content-bytes"', '"steps";q=1000;w=5']);
    assert.deepEqual(policies.slice(2), ['"session-bytes";q=15000000;w=30;qu="content-bytes"', '"session-steps";q=15000;w=30']);
    assert.match(refused.headers.get("ratelimit")!, /^"steps";r=0;t=[1-5]$/);
    assert.equal(refused.headers.get("access-control-expose-headers"), "Retry-After, RateLimit, RateLimit-Policy");

    // A lease that this isolate took is lost after 3 s; the bucket itself gains 200 a second.
    await delay(refused.json.retry_after_s * 1_000 + 3_000);
    assert.equal((await send(bodies[at]!)).json.code, "stored");
  });
});

describe("the limit of a session", () => {
  const SESSION = { bytes_per_s: 1_000_000, bytes_burst: 2_000_000, steps_per_s: 100, steps_burst: 1_000 };
  let worker: Worker;
  let project: Project;

  before(async () => {
    worker = await Worker.start();
    project = await worker.createProject("prj_sessions", { session_limits: SESSION });
  });
  after(() => worker.stop());

  test("parallel senders of one session share its bucket exactly; another session is not touched by it", async () => {
    const [one, another] = [session(project.secret, project.id, project.kid), session(project.secret, project.id, project.kid)];
    const started = Date.now();
    const replies = await Promise.all(Array.from({ length: 40 }, () => worker.api.sendBatch(seal(one, hundredEvents()))));
    const elapsedS = (Date.now() - started) / 1_000;
    const admitted = replies.filter((reply) => reply.status === 200).length * EVENTS;
    assert.ok(admitted <= SESSION.steps_burst + Math.ceil(elapsedS * SESSION.steps_per_s), `${admitted} in ${elapsedS} s`);
    assert.ok(admitted >= SESSION.steps_burst / 2, `${admitted} admitted`);
    const database = await worker.database();
    const stored = await database.prepare("SELECT sum(count) AS n FROM segments").first<{ n: number }>();
    assert.equal(stored!.n, admitted);
    const refused = replies.find((reply) => reply.status !== 200)!;
    assert.deepEqual([refused.status, refused.json.code], [429, "rate_limited"]);
    assert.match(refused.json.detail, /session's limit in steps/);
    assert.match(refused.headers.get("ratelimit")!, /^"session-steps";r=0;t=\d+$/);
    assert.equal(refused.headers.get("retry-after"), String(refused.json.retry_after_s));

    const free = await worker.api.sendBatch(seal(another, hundredEvents()));
    assert.equal(free.json.code, "stored");
    assert.match(free.headers.get("ratelimit")!, /^"steps";r=\d+, "session-steps";r=900$/);
  });

  test("a server's batch has no session to limit", async () => {
    const id = batchId();
    const [ts, bytes] = [nowS(), body(executionId(), [{ t: "log", n: 0, at: Date.now() }], { sub: "server" })];
    const reply = await worker.api.request("POST", "/v1/server/batches", new Uint8Array(bytes), {
      "webhook-id": id, "webhook-timestamp": String(ts), "webhook-signature": sign(project.secret, id, ts, bytes), "stepseal-key": `${project.id}.${project.kid}`,
    });
    assert.equal(reply.json.code, "stored");
    assert.ok(!reply.headers.get("ratelimit-policy")!.includes("session"));
  });
});

describe("the monthly budget", () => {
  const HOUR_MS = 3_600_000;
  let worker: Worker;
  before(async () => {
    worker = await Worker.start();
  });
  after(() => worker.stop());

  const change = (project: Project, wanted: object) => worker.api.withKey(project.adminKey).request("PATCH", "/v1/project", JSON.stringify(wanted));
  const usage = async (project: Project) => (await worker.api.withKey(project.adminKey).get("/v1/project/usage")).json;

  for (const [unit, budget, spent] of [
    ["steps", { steps: 12 }, { steps: 12 }],
    ["bytes", { bytes: 1_500 }, undefined],
    ["cost", { cost_usd: 0.03 }, { cost_usd: 0.0369 }],
  ] as const) {
    test(`in ${unit}: warned, then stopped until the time given, then taken up again when it is raised`, async () => {
      const project = await worker.createProject(`prj_${unit}`, { budget: { ...budget, warn_at_percent: 30 } });
      const sender = session(project.secret, project.id, project.kid);
      const send = () => worker.api.sendBatch(seal(sender, body(executionId(), smallExecution())));
      assert.equal((await send()).json.code, "stored");
      assert.equal((await usage(project)).standing, "warned");
      let last = await send();
      for (let count = 0; count < 4 && last.status === 200; count++) last = await send();
      assert.deepEqual([last.status, last.json.code], [429, "budget_exhausted"]);
      const { stop_until, server_time, retry_after_s } = last.json;
      assert.ok(stop_until > server_time && stop_until <= server_time + HOUR_MS);
      assert.ok(Math.abs(retry_after_s - (stop_until - server_time) / 1000) < 2);
      assert.equal(last.headers.get("retry-after"), String(retry_after_s));

      const shown = await usage(project);
      assert.equal(shown.standing, "exhausted");
      const database = await worker.database();
      const stored = await database.prepare("SELECT sum(count) AS steps, sum(bytes) AS bytes FROM segments WHERE project_id = ?1").bind(project.id).first<{ steps: number; bytes: number }>();
      const cost = await database.prepare("SELECT sum(cost_nano_usd) AS nano FROM executions WHERE project_id = ?1").bind(project.id).first<{ nano: number }>();
      assert.deepEqual(shown.used, { ...stored, cost_usd: cost!.nano / 1e9 });
      for (const [name, value] of Object.entries(spent ?? {})) assert.equal(shown.used[name], value);
      const { json } = await worker.api.withKey(project.adminKey).get("/v1/audit");
      const noted = json.entries.map(({ action }: any) => action).filter((action: string) => action.startsWith("budget."));
      assert.deepEqual(noted, ["budget.stop", "budget.warn"]);

      assert.equal((await change(project, { budget: { [Object.keys(budget)[0]!]: 1_000_000 } })).status, 200);
      assert.equal((await send()).json.code, "stored");
      assert.equal((await usage(project)).standing, "within");
    });
  }

  test("what is refused or sent again costs nothing", async () => {
    const project = await worker.createProject("prj_retries", { budget: { steps: 1_000 } });
    const sender = session(project.secret, project.id, project.kid);
    const bytes = body(executionId(), smallExecution());
    for (let count = 0; count < 3; count++) await worker.api.sendBatch(seal(sender, bytes));
    await worker.api.sendBatch(seal(sender, Buffer.from("{}\n")));
    assert.deepEqual((await usage(project)).used, { steps: 4, bytes: bytes.length, cost_usd: 0.0123 });
  });

  test("budgets that are none", async () => {
    const project = await worker.createProject("prj_budgets");
    for (const [budget, field] of [[{ tokens: 1 }, undefined], [{ steps: -1 }, undefined], [{ cost_usd: -1 }, undefined], [{ warn_at_percent: 0 }, "budget.warn_at_percent"], [{ bytes: 1e13 }, "budget.bytes"]] as const) {
      const reply = await change(project, { budget });
      assert.deepEqual([reply.status, reply.json.code, reply.json.field], [400, "request_malformed", field]);
    }
    const kept = await worker.api.withKey(project.adminKey).get("/v1/project");
    assert.deepEqual(kept.json.budget, { steps: null, bytes: null, cost_usd: null, warn_at_percent: 80 });
  });
});

describe("the address limit", () => {
  test("comes before any cryptography", async () => {
    const worker = await Worker.start({ addressLimit: 5 });
    try {
      const project = await worker.createProject("prj_address");
      const forged = seal({ ...session(project.secret, project.id, project.kid), key: new Uint8Array(32) }, hundredEvents());
      const codes: string[] = [];
      for (let count = 0; count < 6; count++) codes.push((await worker.api.sendBatch(forged)).json.code);
      assert.deepEqual(codes, [...Array(5).fill("signature_invalid"), "rate_limited"]);
      const reply = await worker.api.sendBatch(forged);
      assert.deepEqual([reply.status, reply.headers.get("retry-after"), reply.json.retry_after_s], [429, "60", 60]);
    } finally {
      await worker.stop();
    }
  });
});

describe("minting and origins", () => {
  const ORIGIN = "https://app.example.com";
  let worker: Worker;
  let project: Project;

  before(async () => {
    worker = await Worker.start();
    project = await worker.createProject("prj_mint", { origins: [ORIGIN] });
  });
  after(() => worker.stop());

  const install = () => randomBytes(16).toString("base64url");
  const mint = (wanted: object, headers: Record<string, string> = { origin: ORIGIN }) =>
    worker.api.request("POST", "/v1/sessions", JSON.stringify(wanted), { "content-type": "text/plain", ...headers });

  test("a session for a page of an allowed origin writes from there, and from nowhere else", async () => {
    const wanted = { publishable_key: project.publishableKey, install: install() };
    const minted = await mint(wanted);
    assert.equal(minted.status, 200);
    const { token, key, subject, expires_at, server_time } = minted.json;
    assert.match(subject, /^o_[A-Za-z0-9_-]{43}$/);
    assert.ok(expires_at - server_time > 890_000 && expires_at - server_time <= 900_000);
    assert.equal((await mint(wanted)).json.subject, subject);
    assert.notEqual((await mint({ ...wanted, install: install() })).json.subject, subject);

    const x = executionId();
    const sealed = seal({ token, key: new Uint8Array(Buffer.from(key, "base64")) }, body(x, smallExecution()));
    assert.equal((await worker.api.sendBatch(sealed)).json.code, "origin_mismatch");
    assert.equal((await worker.api.sendBatch(sealed, { origin: ORIGIN })).json.code, "stored");
    const shown = await worker.api.withKey(project.viewerKey).get(`/v1/executions/${x}`);
    assert.deepEqual([shown.json.execution.subject, shown.json.execution.provenance], [subject, "origin"]);
  });

  test("no session for other origins, other keys, other bodies", async () => {
    const wanted = { publishable_key: project.publishableKey, install: install() };
    const cases: [object, Record<string, string>, number, string][] = [
      [wanted, {}, 403, "origin_not_allowed"],
      [wanted, { origin: "https://evil.example.com" }, 403, "origin_not_allowed"],
      [{ ...wanted, publishable_key: project.publishableKey.replace(/.$/, (last) => (last === "0" ? "1" : "0")) }, { origin: ORIGIN }, 403, "project_unknown"],
      [{ ...wanted, publishable_key: "x" }, { origin: ORIGIN }, 403, "project_unknown"],
      [{ ...wanted, install: "short" }, { origin: ORIGIN }, 400, "request_malformed"],
      [{}, { origin: ORIGIN }, 400, "request_malformed"],
    ];
    for (const [body, headers, status, code] of cases) {
      const reply = await mint(body, headers);
      assert.deepEqual([reply.status, reply.json.code], [status, code]);
      assert.equal(reply.headers.get("access-control-allow-origin"), "*");
      assert.equal(reply.json.key, undefined);
    }
  });

  test("any page may read the ingest routes' replies, none the others'", async () => {
    for (const path of ["/v1/batches", "/v1/server/batches", "/v1/sessions"]) {
      const preflight = await worker.api.request("OPTIONS", path, undefined, { origin: ORIGIN, "access-control-request-method": "POST" });
      assert.equal(preflight.status, 204);
      assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
      assert.equal(preflight.headers.get("access-control-allow-credentials"), null);
    }
    const read = await worker.api.withKey(project.viewerKey).get("/v1/executions");
    assert.equal(read.headers.get("access-control-allow-origin"), null);
    assert.equal(read.headers.get("cache-control"), "no-store");
    assert.equal(read.headers.get("x-content-type-options"), "nosniff");
  });

  test("reading and administration: pages of the project's origins with a key, and no others", async () => {
    const viewer = worker.api.withKey(project.viewerKey);
    const allowed = await viewer.request("GET", "/v1/executions", undefined, { origin: ORIGIN });
    assert.deepEqual([allowed.status, allowed.headers.get("access-control-allow-origin")], [200, ORIGIN]);
    assert.equal(allowed.headers.get("access-control-allow-credentials"), null);
    assert.equal(allowed.headers.get("vary"), "Origin, Cookie");
    const operator = worker.api.withKey(worker.operatorKey);
    const own = { origin: new URL(worker.url).origin };
    assert.equal((await operator.request("GET", "/v1/projects", undefined, own)).status, 200);
    const refused = [
      await viewer.request("GET", "/v1/executions", undefined, { origin: "https://evil.example.com" }),
      await viewer.request("GET", "/v1/executions", undefined, { origin: "null" }),
      await worker.api.withKey(project.adminKey).request("POST", "/v1/project/keys", '{"role":"admin","name":"x"}', { origin: "https://evil.example.com" }),
      await operator.request("GET", "/v1/projects", undefined, { origin: ORIGIN }),
    ];
    for (const reply of refused) {
      assert.deepEqual([reply.status, reply.json.code, reply.headers.get("access-control-allow-origin")], [403, "origin_not_allowed", null]);
    }
    const keys = await worker.api.withKey(project.adminKey).get("/v1/project/keys");
    assert.deepEqual(keys.json.keys.map(({ name }: any) => name).sort(), ["first admin key", "first viewer key"]);
    const preflight = await worker.api.request("OPTIONS", "/v1/executions", undefined, { origin: ORIGIN, "access-control-request-method": "GET" });
    assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-origin"), preflight.headers.get("access-control-allow-credentials")], [204, ORIGIN, null]);
  });

  test("the operator changes a project, with effect on what it allows", async () => {
    const operator = worker.api.withKey(worker.operatorKey);
    const change = (id: string, wanted: object) => operator.request("PATCH", `/v1/projects/${id}`, JSON.stringify(wanted));
    assert.equal((await change(project.id, { origins: ["https://two.example.com"] })).status, 200);
    const wanted = { publishable_key: project.publishableKey, install: install() };
    assert.equal((await mint(wanted)).json.code, "origin_not_allowed");
    assert.equal((await mint(wanted, { origin: "https://two.example.com" })).json.code, "minted");
    assert.equal((await change(project.id, { status: "paused" })).json.project.status, "paused");
    assert.equal((await mint(wanted, { origin: "https://two.example.com" })).json.code, "project_paused");
    const sealed = seal(session(project.secret, project.id, project.kid), hundredEvents());
    const paused = await worker.api.sendBatch(sealed);
    assert.deepEqual([paused.status, paused.json.code], [403, "project_paused"]);
    assert.equal((await change("prj_none", {})).json.code, "project_not_found");
    assert.equal((await worker.api.withKey(project.adminKey).request("PATCH", `/v1/projects/${project.id}`, "{}")).json.code, "role_insufficient");
  });
});

describe("weak secrets", () => {
  const ROOT = Buffer.from(randomBytes(32)).toString("base64");
  const cases: [string, Record<string, string>][] = [
    ["a root of zeros", { STEPSEAL_ROOTS: JSON.stringify({ k1: Buffer.alloc(32).toString("base64") }) }],
    ["a short root", { STEPSEAL_ROOTS: JSON.stringify({ k1: randomBytes(16).toString("base64") }) }],
    ["no root", { STEPSEAL_ROOTS: "{}" }],
    ["roots that are no JSON", { STEPSEAL_ROOTS: ROOT }],
    ["a short operator key", { STEPSEAL_OPERATOR_KEY: "stepseal_operator_1234" }],
  ];
  for (const [name, bindings] of cases) {
    test(`${name} is refused, and not repeated`, async () => {
      const worker = await Worker.start({ bindings });
      try {
        const reply = await worker.api.withKey(worker.operatorKey).request("POST", "/v1/projects", JSON.stringify({ id: "p", name: "p" }));
        assert.deepEqual([reply.status, reply.json.code], [503, "misconfigured"]);
        const said = JSON.stringify(reply.json) + worker.log.join("");
        for (const secret of [...Object.values(bindings), worker.operatorKey]) {
          if (secret.length > 4) assert.ok(!said.includes(secret), "a secret was repeated");
        }
      } finally {
        await worker.stop({ expectFaults: true });
      }
    });
  }
});
