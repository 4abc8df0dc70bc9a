// Outcomes of requests: counted per project and day, summed for Prometheus, and a ledger that agrees with what
// was sent and with what is stored.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Api } from "../client/api.ts";
import { body, chain, executionId, nowS, seal, session, smallExecution, type Event, type Session } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;
let admin: Api;
let sender: Session;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_counted");
  admin = worker.api.withKey(project.adminKey);
  sender = session(project.secret, project.id, project.kid);
});

after(() => worker.stop());

const send = (bytes: Uint8Array) => worker.api.sendBatch(seal(sender, bytes));
const usage = async () => (await admin.get("/v1/project/usage")).json;

/** `operation outcome` → requests of a day's outcomes. */
const requests = (day: any): Record<string, number> =>
  Object.fromEntries(day.outcomes.map(({ operation, outcome, requests }: any) => [`${operation} ${outcome}`, requests]));

describe("counts", () => {
  test("every request ends in a named outcome of its project and day", async () => {
    const small = body(executionId(), smallExecution());
    const bad: Event[] = [...smallExecution(), { t: "score", n: 4, name: "quality" }];
    await send(small);
    await send(small);
    assert.equal((await send(body(executionId(), bad))).json.rejected, 1);
    await send(gzipSync(Buffer.from("not a batch\n")));
    const [first, second] = chain(executionId(), [smallExecution(), [{ t: "log", n: 4, at: Date.now() }]]);
    await send(first!);
    await worker.api.sendBatch(seal(session(project.secret, project.id, project.kid, { sub: "somebody else" }), second!));
    await worker.api.withKey(project.viewerKey).get("/v1/executions");
    await worker.api.withKey(project.viewerKey).get("/v1/project/keys");

    const shown = await usage();
    assert.deepEqual(shown.days.map(({ day }: any) => day), [new Date().toISOString().slice(0, 10)]);
    const counted = requests(shown.days[0]);
    assert.deepEqual(counted, {
      "sendBatch stored": 3, "sendBatch duplicate": 1, "sendBatch header_malformed": 1, "sendBatch subject_mismatch": 1,
      "listExecutions done": 1, "listKeys role_insufficient": 1,
    });
    assert.deepEqual(shown.ledger, {
      batches: { received: 6, stored: 3, duplicate: 1, rejected: 2 },
      events: { received: 4 + 4 + 5 + 4 + 1, stored: 4 + 4 + 4, duplicate: 4, rejected: 1 + 1 },
    });
    assert.deepEqual(shown.days[0].ledger, shown.ledger);
    assert.equal(requests((await usage()).days[0])["showUsage done"], 1);
  });

  test("under parallel load the ledger balances, and agrees with the sender's count and the store's", async () => {
    const own = await worker.createProject("prj_ledger", { limits: { bytes_per_s: 1_000_000, bytes_burst: 2_000_000, steps_per_s: 10, steps_burst: 1_000 } });
    const of = session(own.secret, own.id, own.kid);
    const bodies = Array.from({ length: 12 }, () => body(executionId(), Array.from({ length: 100 }, (_, n) => ({ t: "log", n, at: Date.now() }))));
    const replies = await Promise.all([...bodies, ...bodies].map((bytes) => worker.api.sendBatch(seal(of, bytes))));
    const said = (code: string) => replies.filter((reply) => reply.json.code === code).length;
    const { json } = await worker.api.withKey(own.adminKey).get("/v1/project/usage");
    const { batches, events } = json.ledger;
    assert.deepEqual(batches, { received: 24, stored: said("stored"), duplicate: said("duplicate"), rejected: said("rate_limited") });
    assert.ok(said("rate_limited") > 0 && said("stored") > 0);
    assert.equal(batches.received, batches.stored + batches.duplicate + batches.rejected);
    assert.equal(events.received, events.stored + events.duplicate + events.rejected);
    const database = await worker.database();
    const stored = await database.prepare("SELECT count(*) AS batches, sum(count) AS events FROM segments WHERE project_id = ?1").bind(own.id).first();
    assert.deepEqual(stored, { batches: batches.stored, events: events.stored });
  });

  test("who proves nothing is counted with the deployment, and no project sees it", async () => {
    const before = await usage();
    const forged = { ...sender, key: new Uint8Array(32) };
    for (let count = 0; count < 3; count++) await worker.api.sendBatch(seal(forged, body(executionId(), smallExecution())));
    await worker.api.withKey("stepseal_admin_nonsense").get("/v1/executions");
    const metrics = await text(worker.operatorKey);
    assert.match(metrics, /^stepseal_requests_total\{project="",operation="sendBatch",outcome="signature_invalid"\} 3$/m);
    assert.match(metrics, /^stepseal_requests_total\{project="",operation="listExecutions",outcome="credential_invalid"\} 1$/m);
    assert.ok(!metrics.includes(project.id));
    assert.deepEqual((await usage()).ledger, before.ledger);
  });

  test("counts survive the worker, and arrive without anybody asking for them", async () => {
    const before = (await usage()).ledger.batches.stored;
    await send(body(executionId(), smallExecution()));
    await new Promise((done) => setTimeout(done, 1_500));
    await worker.pause();
    await worker.resume();
    admin = worker.api.withKey(project.adminKey);
    assert.equal((await usage()).ledger.batches.stored, before + 1);
  });
});

async function text(key: string): Promise<string> {
  const response = await fetch(`${worker.url}/v1/metrics`, { headers: { authorization: `Bearer ${key}` } });
  assert.deepEqual([response.status, response.headers.get("content-type"), response.headers.get("cache-control")], [200, "text/plain; version=0.0.4", "no-store"]);
  return response.text();
}

describe("metrics", () => {
  const LINE = /^(# (HELP|TYPE) stepseal_[a-z_]+ .+|stepseal_[a-z_]+\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\} \d+)$/;

  test("an admin's are of its project, in the text format, and only grow", async () => {
    const parse = (page: string) => new Map(page.trimEnd().split("\n").filter((line) => !line.startsWith("#")).map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))] as const;
    }));
    const first = await text(project.adminKey);
    for (const line of first.trimEnd().split("\n")) assert.match(line, LINE);
    assert.match(first, new RegExp(`^stepseal_batches_total\\{project="${project.id}",fate="stored"\\} \\d+$`, "m"));
    await send(body(executionId(), smallExecution()));
    const [before, after] = [parse(first), parse(await text(project.adminKey))];
    for (const [name, value] of before) assert.ok(after.get(name)! >= value, name);
    const stored = `stepseal_requests_total{project="${project.id}",operation="sendBatch",outcome="stored"}`;
    assert.equal(after.get(stored), before.get(stored)! + 1);
    const month = `stepseal_month_steps{project="${project.id}"}`;
    assert.equal(after.get(month), before.get(month)! + 4);
  });

  test("viewers and strangers get none", async () => {
    for (const [key, status, code] of [[project.viewerKey, 403, "role_insufficient"], [undefined, 401, "unauthenticated"], [`stepseal_operator_${"0".repeat(64)}`, 401, "credential_invalid"]] as const) {
      const reply = await worker.api.withKey(key).get("/v1/metrics");
      assert.deepEqual([reply.status, reply.json.code], [status, code]);
    }
  });
});

test("a session that is too old is not the project's to count", async () => {
  const iat = nowS() - 4_000;
  const old = session(project.secret, project.id, project.kid, { iat, exp: iat + 900 });
  const before = (await usage()).ledger;
  assert.equal((await worker.api.sendBatch(seal(old, body(executionId(), smallExecution())))).json.code, "session_expired");
  assert.deepEqual((await usage()).ledger, before);
});
