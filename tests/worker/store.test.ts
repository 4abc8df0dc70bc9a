// Storage: idempotent, whatever the order, the retries and the races; verifiable from its bytes.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Api } from "../client/api.ts";
import { openBody, sealBody } from "../client/at-rest.ts";
import { batchId, body, chain, executionId, seal, session, smallExecution, stepId, type Event } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;
let viewer: Api;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_store");
  viewer = worker.api.withKey(project.viewerKey);
});

after(() => worker.stop());

const sealed = (bytes: Uint8Array, options = {}) => seal(session(project.secret, project.id, project.kid), bytes, options);
const send = (bytes: Uint8Array) => worker.api.sendBatch(sealed(bytes));

async function store(bodies: Uint8Array[]): Promise<void> {
  for (const bytes of bodies) {
    const reply = await send(bytes);
    assert.equal(reply.json.code, "stored", JSON.stringify(reply.json));
  }
}

async function select(sql: string, ...values: unknown[]): Promise<any[]> {
  const database = await worker.database();
  return (await database.prepare(sql).bind(...values).all()).results;
}

const placeOf = async (x: string, k: number) => {
  const [{ attempt }] = await select("SELECT attempt FROM segments WHERE execution_id = ?1 AND k = ?2", x, k) as [{ attempt: string }];
  return { project: project.id, execution: x, writer: "", k, attempt };
};

/** A batch's body as it was received, out of its row. */
async function bodyOf(x: string, k: number): Promise<Buffer> {
  const [{ hex }] = await select("SELECT hex(body) AS hex FROM segments WHERE execution_id = ?1 AND k = ?2", x, k) as [{ hex: string }];
  return openBody(worker.root, await placeOf(x, k), Buffer.from(hex, "hex"));
}

const verify = async (x: string) => (await viewer.get(`/v1/executions/${x}/verify`)).json;

const step = (n: number, more: object = {}): Event => ({
  t: "step", n, id: stepId(), kind: "llm", name: "think", at: 1_790_000_000_000 + n, duration_ms: 2, status: "ok", ...more,
});

describe("idempotence", () => {
  test("a retry gets the first receipt and writes nothing", async () => {
    const x = executionId();
    const bytes = body(x, smallExecution());
    const first = await worker.api.sendBatch(sealed(bytes, { id: "bat_00000000000000aa" }));
    const rows = async () => [await select("SELECT *, hex(body) FROM segments WHERE execution_id = ?1", x), await select("SELECT * FROM executions WHERE id = ?1", x)];
    const before = await rows();
    for (let retry = 0; retry < 3; retry++) {
      const again = await worker.api.sendBatch(sealed(bytes, { id: "bat_00000000000000aa" }));
      assert.deepEqual([again.status, again.json.code, again.json.duplicate], [200, "duplicate", true]);
      assert.equal(again.json.receipt, first.json.receipt);
    }
    assert.deepEqual(await rows(), before);
  });

  test("eight senders of one batch: one stores it, all get the same receipt", async () => {
    const x = executionId();
    const bytes = body(x, smallExecution());
    const replies = await Promise.all(Array.from({ length: 8 }, () => send(bytes)));
    assert.deepEqual(replies.map((reply) => reply.json.code).sort(), [...Array(7).fill("duplicate"), "stored"]);
    assert.equal(new Set(replies.map((reply) => reply.json.receipt)).size, 1);
    const { json } = await viewer.get(`/v1/executions/${x}`);
    assert.deepEqual([json.execution.events, json.execution.steps], [4, 2]);
  });

  test("eight senders of different bodies under one key: one wins, the rest are told", async () => {
    const x = executionId();
    const replies = await Promise.all(Array.from({ length: 8 }, (_, index) => send(body(x, [step(0, { name: `${index}` })]))));
    assert.deepEqual(replies.map((reply) => reply.json.code).sort(), [...Array(7).fill("batch_conflict"), "stored"]);
    assert.equal((await viewer.get(`/v1/executions/${x}`)).json.execution.events, 1);
  });

  test("the same batches give the same roll-up in any order, with retries", async () => {
    const x = executionId();
    const usage = { input: 10, cache_read: 3, output: 2 };
    const page = chain(x, [
      [{ t: "start", n: 0, at: 1_790_000_000_000, name: "order", tags: ["z", "y"] }, step(1, { usage, cost_usd: 0.1, model: "m2" })],
      [step(2, { usage, cost_usd: 0.2, model: "m1" }), step(3, { status: "error", kind: "tool" }), { t: "state", n: 4, at: 1_790_000_000_400, state: "waiting" }],
      [{ t: "drop", n: 5, reason: "quota", count: 3, from: 6, to: 8 }],
      [step(9, { kind: "agent", usage, cost_usd: 5 }), { t: "end", n: 10, at: 1_790_000_001_000, status: "failed", last: 10 }],
    ]);
    const backend = chain(x, [[step(0, { tool: { name: "db" } })], [step(1), { t: "log", n: 2, at: 1_789_999_999_000 }]], { w: "backend" });
    const fin = Buffer.from(backend[1]!.toString().replace('"sdk"', '"fin":true,"sdk"'));
    const batches = [...page, backend[0]!, fin];
    const orders = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 5, 0, 4, 2, 1], [1, 3, 1, 0, 5, 2, 2, 4, 0]];
    const columns = async (id: string) => {
      const [row] = await select("SELECT * FROM executions WHERE id = ?1", id);
      const { id: _, received_at, updated_at, start_rank, end_rank, labels, step_names, ...rest } = row;
      assert.ok(received_at <= updated_at && start_rank.length === 80 && end_rank.length === 81);
      // Objects, whose members stand as they came.
      return { ...rest, labels: JSON.parse(labels), step_names: JSON.parse(step_names) };
    };
    const results = [];
    for (const order of orders) {
      const id = executionId();
      for (const index of order) assert.equal((await send(renamed(batches[index]!, x, id))).status, 200);
      results.push(await columns(id));
      assert.equal((await viewer.get(`/v1/executions/${id}`)).json.execution.status, "failed");
    }
    for (const result of results.slice(1)) assert.deepEqual(result, results[0]);
    const [first] = results;
    assert.deepEqual(
      [first.events, first.steps, first.error_steps, first.input_tokens, first.cost_nano_usd, first.started_at, first.dropped, first.openers, first.closers],
      [11, 6, 1, 20, 300_000_000, 1_789_999_999_000, 3, 2, 2],
    );
    const [listed] = (await viewer.get("/v1/executions?name=order&from=0")).json.executions;
    assert.deepEqual([listed.models, listed.tools, listed.tags], [["m1", "m2"], ["db", "think"], ["y", "z"]]);
  });
});

/** The same batch for another execution; `prev` still names the first one's digests, so it would not verify. */
function renamed(bytes: Buffer, from: string, to: string): Buffer {
  return Buffer.from(bytes.toString().replace(from, to));
}

describe("bodies", () => {
  test("a large body goes to KV, its row keeps none; a losing attempt leaves nothing there", async () => {
    const x = executionId();
    const large = body(x, [step(0, { output: "x".repeat(200_000) })]);
    await store([large]);
    const [row] = await select("SELECT body IS NULL AS absent, bytes FROM segments WHERE execution_id = ?1", x);
    assert.deepEqual(row, { absent: 1, bytes: large.length });
    assert.equal((await send(large)).json.code, "duplicate");
    assert.equal((await send(body(x, [step(0, { output: "y".repeat(200_000) })]))).json.code, "batch_conflict");
    const bodies = await worker.bodies();
    const keys = (await bodies.list({ prefix: `segment/${project.id}/${x}/` })).keys;
    assert.equal(keys.length, 1);
    const [{ attempt }] = await select("SELECT attempt FROM segments WHERE execution_id = ?1", x) as [{ attempt: string }];
    const stored = Buffer.from((await bodies.get(keys[0]!.name, "arrayBuffer"))!);
    assert.equal(openBody(worker.root, { project: project.id, execution: x, writer: "", k: 0, attempt }, stored).toString(), large.toString());
    const steps = await viewer.all(`/v1/executions/${x}/steps`, "steps");
    assert.equal(steps[0].output.length, 200_000);
    assert.equal((await verify(x)).batches[0].verdict, "verified");

    await bodies.delete(keys[0]!.name);
    const gone = await verify(x);
    assert.deepEqual([gone.verdict, gone.batches[0].reason], ["tampered", "the body is not in the store"]);
  });

  test("gzip is stored as it came, and any text as it was signed", async () => {
    const x = executionId();
    const [first, second] = chain(x, [[step(0, { output: "\u0000 \ud83d\udee9 \u2028 'quoted' \"" })], [step(1)]]);
    const zipped = gzipSync(first!);
    await store([zipped, second!]);
    assert.deepEqual([await bodyOf(x, 0), await bodyOf(x, 1)], [zipped, second!]);
    const [one] = await viewer.all(`/v1/executions/${x}/steps`, "steps");
    assert.equal(one.output, "\u0000 \ud83d\udee9 \u2028 'quoted' \"");
    const verified = await verify(x);
    assert.deepEqual(verified.batches.map((batch: any) => batch.verdict), ["verified", "verified"]);
  });

  test("messages are put back from whichever batch holds them; a missing one shows", async () => {
    const x = executionId();
    const message = (n: number, i: number): Event => ({ t: "msg", n, i, v: { role: "user", content: `m${i}` } });
    const bodies = chain(x, [
      [message(0, 0), message(1, 1), step(2, { input: { $msgs: [[0, 2]] } })],
      [step(3, { input: "plain" })],
      [message(4, 2), step(5, { input: { messages: { $msgs: [[0, 1], [2, 1]] }, model: "m" } }), step(6, { input: { $msgs: [[7, 1]] } })],
    ]);
    await store(bodies);
    const content = (i: number) => ({ role: "user", content: `m${i}` });
    const expected = [[content(0), content(1)], "plain", { messages: [content(0), content(2)], model: "m" }, [{ $missing: { message: 7 } }]];
    const steps = await viewer.all(`/v1/executions/${x}/steps?limit=1`, "steps");
    assert.deepEqual(steps.map((step) => step.input), expected);
    assert.deepEqual(steps.map((step) => [step.k, step.n]), [[0, 2], [1, 3], [2, 5], [2, 6]]);
  });
});

describe("verification", () => {
  async function execution(): Promise<string> {
    const x = executionId();
    const events = smallExecution();
    await store(chain(x, [events.slice(0, 1), events.slice(1, 3), events.slice(3)]));
    const fresh = await verify(x);
    assert.deepEqual([fresh.verdict, fresh.summary, fresh.tail_unknown], ["verified", "verified", false]);
    return x;
  }

  const faulty = (report: any) => report.batches.filter((batch: any) => batch.verdict !== "verified").map((batch: any) => [batch.k, batch.reason]);

  const changes: [string, string, [number, string][]][] = [
    ["the sealed body", "body = unhex(substr(hex(body), 1, 200) || iif(substr(hex(body), 201, 1) = '0', '1', '0') || substr(hex(body), 202))", [[1, "the stored body does not decrypt in its row"]]],
    ["the envelope", "envelope = replace(envelope, ' v1,', ' v1,A')", [[1, "the stored envelope cannot be read"]]],
    ["the envelope's batch id", "envelope = replace(envelope, 'bat_', 'bat-')", [[1, "the signature does not match the stored bytes"]]],
    ["a count beside it", "count = 3", [[1, "what is stored beside the bytes differs from what they say"]]],
    ["the digest beside it", "sha256 = replace(sha256, substr(sha256, 1, 1), 'g')", [[1, "what is stored beside the bytes differs from what they say"]]],
    ["the batch id beside it", "batch_id = 'bat_0000000000000000'", [[1, "what is stored beside the bytes differs from what they say"]]],
  ];
  for (const [what, assignment, expected] of changes) {
    test(`finds a change of ${what}`, async () => {
      const x = await execution();
      await select(`UPDATE segments SET ${assignment} WHERE execution_id = ?1 AND k = 1`, x);
      const report = await verify(x);
      assert.equal(report.verdict, "tampered");
      assert.deepEqual(faulty(report), expected);
    });
  }

  test("finds a change of the body by somebody who holds the keys at rest", async () => {
    const x = await execution();
    const changed = Buffer.from((await bodyOf(x, 1)).toString().replace("Seattle", "seattle"));
    const stored = sealBody(worker.root, "k1", await placeOf(x, 1), changed);
    await select("UPDATE segments SET body = unhex(?2) WHERE execution_id = ?1 AND k = 1", x, stored.toString("hex"));
    const report = await verify(x);
    assert.deepEqual([report.verdict, faulty(report)], ["tampered", [[1, "the signature does not match the stored bytes"]]]);
  });

  for (const assignment of ["name = 'another'", "cost_nano_usd = 1", "ended_at = ended_at + 1", "steps = 3", "tags = '[]'", "end_status = 'failed'", "labels = '{}'", "step_names = '{}'"]) {
    test(`finds a roll-up that was changed: ${assignment}`, async () => {
      const x = await execution();
      await select(`UPDATE executions SET ${assignment} WHERE id = ?1`, x);
      const report = await verify(x);
      assert.deepEqual([report.verdict, report.summary, faulty(report)], ["tampered", "tampered", []]);
    });
  }

  test("finds another subject, and a batch moved to another execution", async () => {
    const [x, y] = [await execution(), await execution()];
    await select("UPDATE executions SET subject = 'mallory' WHERE id = ?1", x);
    assert.deepEqual(faulty(await verify(x)).map(([, reason]: any) => reason), Array(3).fill("the execution's subject is not the one that signed"));
    await select("DELETE FROM segments WHERE execution_id = ?1 AND k = 1", y);
    await select("UPDATE segments SET execution_id = ?1 WHERE execution_id = ?2 AND k = 1", y, x);
    assert.deepEqual(faulty(await verify(y)), [[1, "the stored body does not decrypt in its row"]]);
  });

  test("names what is missing in the middle and at the end", async () => {
    const x = await execution();
    await select("DELETE FROM segments WHERE execution_id = ?1 AND k = 2", x);
    const cut = await verify(x);
    assert.deepEqual([cut.verdict, cut.missing, cut.tail_unknown], ["tampered", [], true]);
    const y = executionId();
    const events = smallExecution();
    const [first, , last] = chain(y, [events.slice(0, 1), events.slice(1, 3), events.slice(3)]);
    await store([last!, first!]);
    const gap = await verify(y);
    assert.deepEqual(
      [gap.verdict, gap.summary, gap.missing, gap.tail_unknown],
      ["incomplete", "verified", [{ writer: "", from: 1, to: 2 }], false],
    );
    assert.equal((await viewer.get(`/v1/executions/${y}`)).json.execution.completeness, "incomplete");
  });

  test("an execution that never ended has an unknown tail; drops explain their numbers", async () => {
    const x = executionId();
    await store([body(x, [step(0), step(1)])]);
    const open = await verify(x);
    assert.deepEqual([open.verdict, open.tail_unknown, open.missing], ["incomplete", true, []]);
    const y = executionId();
    await store(chain(y, [[step(0)], [{ t: "drop", n: 4, reason: "quota", count: 3, from: 1, to: 3 }, { t: "end", n: 5, at: 1_790_000_000_009, status: "completed", last: 5 }]]));
    const dropped = await verify(y);
    assert.deepEqual(
      [dropped.verdict, dropped.missing, dropped.dropped],
      ["verified", [], [{ writer: "", from: 1, to: 3, count: 3, reason: "quota" }]],
    );
    assert.equal((await viewer.get(`/v1/executions/${y}`)).json.execution.completeness, "complete");
  });
});

describe("paging and restarts", () => {
  test("sixty batches: steps and verification page through all, once", async () => {
    const x = executionId();
    const events = Array.from({ length: 60 }, (_, n) => [step(n)]);
    await store(chain(x, events));
    const steps = await viewer.all(`/v1/executions/${x}/steps?limit=7`, "steps");
    assert.deepEqual(steps.map((step) => step.n), Array.from({ length: 60 }, (_, n) => n));
    let cursor: string | null = null;
    const verified: number[] = [];
    do {
      const query: string = cursor ? `&cursor=${cursor}` : "";
      const { json } = await viewer.get(`/v1/executions/${x}/verify?limit=25${query}`);
      assert.deepEqual([json.missing, json.batches.every((batch: any) => batch.verdict === "verified" && batch.reason === null)], [[], true]);
      assert.deepEqual([json.verdict, json.tail_unknown], json.next_cursor ? ["verified", false] : ["incomplete", true]);
      verified.push(...json.batches.map((batch: any) => batch.k));
      cursor = json.next_cursor;
    } while (cursor);
    assert.deepEqual(verified, Array.from({ length: 60 }, (_, k) => k));
  });

  test("a list with equal start times gives each execution once; filters hold", async () => {
    const other = await worker.createProject("prj_list");
    const reader = worker.api.withKey(other.viewerKey);
    const ids = Array.from({ length: 45 }, executionId);
    const at = 1_790_000_000_000;
    for (const [index, id] of ids.entries()) {
      const name = index % 3 === 0 ? "third" : "other";
      const bytes = body(id, [{ t: "start", n: 0, at, name }, { t: "end", n: 1, at: at + 1, last: 1, status: index % 2 ? "failed" : "completed" }]);
      await worker.api.sendBatch(seal(session(other.secret, other.id, other.kid), bytes));
    }
    const listed = await reader.all("/v1/executions?limit=10&from=0", "executions");
    assert.deepEqual(listed.map(({ id }) => id), [...ids].sort().reverse());
    assert.equal((await reader.all("/v1/executions?limit=4&name=third&from=0", "executions")).length, 15);
    assert.equal((await reader.all("/v1/executions?status=failed&from=0", "executions")).length, 22);
    assert.equal((await reader.get(`/v1/executions?from=${at}&to=${at + 1}&limit=200`)).json.executions.length, 45);
    assert.equal((await reader.get(`/v1/executions?from=${at + 1}`)).json.executions.length, 0);
    assert.equal((await reader.get(`/v1/executions?to=${at}`)).json.executions.length, 0);
  });

  test("everything is there after a restart, and a retry still gets its first receipt", async () => {
    const x = executionId();
    const bytes = body(x, smallExecution());
    const id = batchId();
    const first = await worker.api.sendBatch(sealed(bytes, { id }));
    const before = (await viewer.get(`/v1/executions/${x}`)).json;
    await worker.pause();
    await worker.resume();
    viewer = worker.api.withKey(project.viewerKey);
    assert.deepEqual((await viewer.get(`/v1/executions/${x}`)).json, before);
    assert.equal((await verify(x)).verdict, "verified");
    assert.equal((await worker.api.sendBatch(sealed(bytes, { id }))).json.receipt, first.json.receipt);
  });
});
