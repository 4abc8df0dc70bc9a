// Stores that fail, isolates that die, isolates that race: afterwards nothing is lost, doubled or half-written,
// and the sender's retry gets one receipt.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Reply } from "../client/api.ts";
import { batchId, body, chain, executionId, seal, session, smallExecution, type Event } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;

before(async () => {
  worker = await Worker.start({ faulty: true, twin: true });
  project = await worker.createProject("prj_faults");
});

// The faults are the test's own, and logged as such.
after(() => worker.stop({ expectFaults: true }));

const SIZES: [string, Event[]][] = [
  ["in its row", smallExecution()],
  ["in KV", smallExecution().map((event) => (event.t === "step" ? { ...event, output: "x".repeat(70_000) } : event))],
];

const sealed = (bytes: Uint8Array, id = batchId()) => seal(session(project.secret, project.id, project.kid), bytes, { id });
const send = (bytes: Uint8Array, fault = "") => worker.api.sendBatch(sealed(bytes), fault ? { "test-fault": fault } : {});
const valuesOf = async (x: string) => (await (await worker.bodies()).list({ prefix: `segment/${project.id}/${x}/` })).keys.length;

async function rowsOf(x: string): Promise<{ segments: number; events: number | null; leaves: number }> {
  const database = await worker.database();
  const one = async (sql: string) => (await database.prepare(sql).bind(project.id, x).first<any>()).n;
  return {
    segments: await one("SELECT count(*) AS n FROM segments WHERE project_id = ?1 AND execution_id = ?2"),
    events: await one("SELECT sum(events) AS n FROM executions WHERE project_id = ?1 AND id = ?2"),
    leaves: await one("SELECT count(*) AS n FROM leaves WHERE project_id = ?1 AND execution_id = ?2"),
  };
}

const NOTHING = { segments: 0, events: null, leaves: 0 };
const ONCE = { segments: 1, events: 4, leaves: 1 };

async function assertWhole(x: string): Promise<void> {
  const { json } = await worker.api.withKey(project.viewerKey).get(`/v1/executions/${x}/verify`);
  assert.deepEqual([json.verdict, json.summary], ["verified", "verified"], JSON.stringify(json));
}

/** The log has no gap, whatever happened before. */
afterEach(async () => {
  const database = await worker.database();
  const log = await database.prepare("SELECT count(*) AS n, max(seq) AS last FROM leaves WHERE project_id = ?1").bind(project.id).first<{ n: number; last: number | null }>();
  assert.equal(log!.last ?? -1, log!.n - 1);
});

/** A retry until it is stored gives one receipt, however often it is sent. */
async function assertRetryHeals(bytes: Buffer, x: string, code: string): Promise<void> {
  const first = await send(bytes);
  assert.deepEqual([first.status, first.json.code], [200, code]);
  const again = await send(bytes);
  assert.deepEqual([again.json.code, again.json.receipt], ["duplicate", first.json.receipt]);
  assert.deepEqual(await rowsOf(x), ONCE);
  await assertWhole(x);
}

for (const [place, events] of SIZES) {
  describe(`a body ${place}`, () => {
    const large = place === "in KV";

    test("the commit does not happen", async () => {
      const x = executionId();
      const bytes = body(x, events);
      const reply = await send(bytes, "commit-lost");
      assert.deepEqual([reply.status, reply.json.code], [503, "storage_unavailable"]);
      assert.ok(!JSON.stringify(reply.json).includes("lost by the test"), "the cause stays in the log");
      assert.deepEqual(await rowsOf(x), NOTHING);
      await assertRetryHeals(bytes, x, "stored");
    });

    test("the commit happens, and nobody hears of it", async () => {
      const x = executionId();
      const bytes = body(x, events);
      assert.deepEqual((await send(bytes, "commit-reply-lost")).status, 503);
      assert.deepEqual(await rowsOf(x), ONCE);
      await assertRetryHeals(bytes, x, "duplicate");
      assert.equal(await valuesOf(x), large ? 1 : 0);
    });

    for (const [moment, fault, code] of [["before", "dies-before-commit", "stored"], ["after", "dies-after-commit", "duplicate"]] as const) {
      test(`the isolate dies ${moment} the commit`, async () => {
        const x = executionId();
        const bytes = body(x, events);
        const [cut, aborted] = [new AbortController(), sealed(bytes)];
        const unanswered = fetch(`${worker.url}/v1/batches`, { method: "POST", body: new Uint8Array(aborted), headers: { "test-fault": fault }, signal: cut.signal })
          // workerd ends a request that waits for nothing; to the sender that is no answer either.
          .then((response) => (response.ok ? "stored" : "no answer"), () => "no answer");
        const reached = async () => (fault === "dies-after-commit" ? (await rowsOf(x)).segments === 1 : !large || (await valuesOf(x)) === 1);
        for (let waited = 0; !(await reached()); waited += 20) {
          assert.ok(waited < 5_000, "the request got nowhere");
          await delay(20);
        }
        cut.abort();
        assert.equal(await unanswered, "no answer");
        await worker.pause();
        await worker.resume();
        await assertRetryHeals(bytes, x, code);
      });
    }

    test("two isolates race on one batch: one stores it, both give its receipt", async () => {
      const twin = await worker.twin();
      for (let round = 0; round < 6; round++) {
        const x = executionId();
        const request = sealed(body(x, events));
        const replies = await Promise.all([worker.api.sendBatch(request), twin.sendBatch(request), worker.api.sendBatch(request), twin.sendBatch(request)]);
        assert.deepEqual(replies.map(({ json }) => json.code).sort(), ["duplicate", "duplicate", "duplicate", "stored"]);
        assert.equal(new Set(replies.map(({ json }) => json.receipt)).size, 1);
        assert.deepEqual(await rowsOf(x), ONCE);
        await assertWhole(x);
        for (let waited = 0; (await valuesOf(x)) !== (large ? 1 : 0); waited += 20) {
          assert.ok(waited < 5_000, "what the losers wrote is still there");
          await delay(20);
        }
      }
    });

    test("two isolates race with different bodies: one is stored, the other hears what is", async () => {
      const twin = await worker.twin();
      const x = executionId();
      const [one, other] = [body(x, events), body(x, [...events.slice(0, 3), { t: "log", n: 3, at: Date.now() }])];
      const replies: Reply[] = await Promise.all([worker.api.sendBatch(sealed(one)), twin.sendBatch(sealed(other))]);
      assert.deepEqual(replies.map(({ json }) => json.code).sort(), ["batch_conflict", "stored"]);
      assert.equal((await rowsOf(x)).segments, 1);
      assert.equal((await rowsOf(x)).leaves, 1);
    });
  });
}

describe("KV", () => {
  for (const fault of ["put-lost", "put-reply-lost"]) {
    test(`a put fails (${fault}): no row names a value that is not there`, async () => {
      const x = executionId();
      const bytes = body(x, SIZES[1]![1]);
      const reply = await send(bytes, fault);
      assert.deepEqual([reply.status, reply.json.code], [503, "storage_unavailable"]);
      assert.deepEqual(await rowsOf(x), NOTHING);
      await assertRetryHeals(bytes, x, "stored");
    });
  }
});

test("faults in the middle of a long execution: every batch once, the chain whole", async () => {
  const x = executionId();
  const at = Date.now();
  const events: Event[] = [{ t: "start", n: 0, at, name: "long" }, ...Array.from({ length: 30 }, (_, index) => ({ t: "log", n: index + 1, at })), { t: "end", n: 31, at, status: "completed", last: 31 }];
  const pieces = Array.from({ length: 8 }, (_, index) => events.slice(index * 4, index * 4 + 4));
  const faults = ["", "commit-lost", "commit-reply-lost", "", "commit-reply-lost", "commit-lost", "", "commit-reply-lost"];
  for (const [index, bytes] of chain(x, pieces).entries()) {
    await send(bytes, faults[index]);
    if (faults[index]) assert.equal((await send(bytes)).status, 200);
  }
  assert.deepEqual(await rowsOf(x), { segments: 8, events: 32, leaves: 8 });
  await assertWhole(x);
});

test("the fair limit holds across isolates: never more than the bucket", async () => {
  const limits = { bytes_per_s: 1_000_000, bytes_burst: 4_000_000, steps_per_s: 100, steps_burst: 1_000 };
  const own = await worker.createProject("prj_two_isolates", { limits });
  const twin = await worker.twin();
  const request = () => seal(session(own.secret, own.id, own.kid), body(executionId(), Array.from({ length: 50 }, (_, n) => ({ t: "log", n, at: Date.now() }))));
  const started = Date.now();
  const replies = await Promise.all(Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? worker.api : twin).sendBatch(request())));
  const elapsedS = (Date.now() - started) / 1_000;
  const admitted = replies.filter(({ status }) => status === 200).length * 50;
  assert.ok(admitted <= limits.steps_burst + Math.ceil(elapsedS * limits.steps_per_s), `${admitted} in ${elapsedS} s`);
  assert.ok(admitted >= limits.steps_burst / 2, `${admitted} admitted`);
  const database = await worker.database();
  const stored = await database.prepare("SELECT sum(count) AS n FROM segments WHERE project_id = ?1").bind(own.id).first<{ n: number }>();
  assert.equal(stored!.n, admitted);
});
