// What the face records, in Node: the wire's events from the host's calls, whatever the host passes.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { Recorder } from "../../sdk-wasm/pkg/node.js";
import { Collector, session, type Event } from "./collector.ts";

let collector: Collector;
before(async () => {
  collector = await Collector.start();
});
afterEach(() => collector.reset());
after(() => collector.stop());

const startRecorder = () => Recorder.start({ endpoint: collector.url, session: session() });

/** Records one execution and gives its events as they arrived. */
async function recorded(record: (run: ReturnType<Recorder["startExecution"]>) => unknown): Promise<Event[]> {
  const recorder = await startRecorder();
  const run = recorder.startExecution({ name: "test" });
  await record(run);
  const counts = await recorder.flush();
  const events = collector.events(run.id);
  assert.deepEqual(counts, { stored: events.length, rejected: 0, dropped: 0, pending: 0, reasons: {} });
  await recorder.close();
  return events;
}

const steps = (events: Event[]) => events.filter((event) => event.t === "step");

test("an execution is a start, its steps and an end that knows its number", async () => {
  const recorder = await startRecorder();
  const before = Date.now();
  const run = recorder.startExecution({
    name: "book", agent: "travel", pipeline: "main", user: "u1", session: "c1", environment: "test", release: "1.2",
    tags: ["a", "b"], metadata: { plan: "pro" }, parent: { execution: "run_parent0000000000", step: "s1" }, input: { q: 1 },
  });
  assert.match(run.id, /^run_[0-9a-f]{32}$/);
  const id = run.recordStep({
    kind: "llm", name: "plan", at: 5, duration_ms: 1.23456, input: "in", output: ["out"], reasoning: "because", model: "m", provider: "p",
    usage: { input: 1, output: 2 }, cost_usd: 0.5, ttft_ms: 3, tool: { name: "t", call_id: "c" }, metadata: { k: 1 }, parent: "0123456789abcdef",
  });
  run.complete({ output: "done" });
  assert.deepEqual(await recorder.flush(), { stored: 3, rejected: 0, dropped: 0, pending: 0, reasons: {} });

  const [batch] = collector.received;
  assert.equal(collector.received.length, 1);
  assert.equal(batch!.contentType, "text/plain");
  assert.deepEqual(batch!.header, { v: 1, x: run.id, k: 0, prev: "", n: 0, sdk: "stepseal-js/0.1.0" });
  const [start, step, end] = batch!.events;
  const { at: startedAt, ...startRest } = start!;
  assert.ok(startedAt >= before && startedAt <= Date.now());
  assert.deepEqual(startRest, {
    t: "start", n: 0, name: "book", agent: "travel", pipeline: "main", user: "u1", session: "c1", environment: "test", release: "1.2",
    tags: ["a", "b"], metadata: { plan: "pro" }, parent: { x: "run_parent0000000000", step: "s1" }, input: { q: 1 },
  });
  assert.deepEqual(step, {
    t: "step", n: 1, id, kind: "llm", name: "plan", at: 5, duration_ms: 1.235, status: "ok", input: "in", output: ["out"], reasoning: "because",
    model: "m", provider: "p", usage: { input: 1, output: 2 }, cost_usd: 0.5, ttft_ms: 3, tool: { name: "t", call_id: "c" }, metadata: { k: 1 },
    parent: "0123456789abcdef",
  });
  assert.match(id, /^[0-9a-f]{16}$/);
  const { at: endedAt, ...endRest } = end!;
  assert.ok(endedAt >= startedAt);
  assert.deepEqual(endRest, { t: "end", n: 2, status: "completed", output: "done", last: 2 });
  await recorder.close();
});

test("handles measure time, nest and end once", async () => {
  const events = await recorded(async (run) => {
    const outer = run.startStep({ kind: "agent", name: "outer", metadata: { a: 1, b: 1 }, model: "kept" });
    const inner = outer.startStep({ kind: "tool", name: "inner", input: 1, model: "asked" });
    await new Promise((resolve) => setTimeout(resolve, 30));
    inner.end({ output: 2, usage: { output: 7 }, tool: { name: "t" }, model: "answered" });
    inner.end({ output: "again" });
    inner.fail(new Error("late"));
    outer.end({ metadata: { b: 2 }, model: undefined });
    run.complete();
  });
  assert.deepEqual(events.map((event) => event.t), ["start", "step", "step", "end"]);
  const [inner, outer] = steps(events);
  assert.equal(inner!["parent"], outer!["id"]);
  assert.equal(outer!["parent"], undefined);
  assert.ok(inner!["duration_ms"] >= 29 && inner!["duration_ms"] <= outer!["duration_ms"] && outer!["duration_ms"] < 2_000);
  assert.deepEqual([inner!["input"], inner!["output"], inner!["model"], inner!["usage"], inner!["tool"]], [1, 2, "answered", { output: 7 }, { name: "t" }]);
  assert.deepEqual([outer!["metadata"], outer!["model"]], [{ a: 1, b: 2 }, "kept"]);
});

test("the callback form records what is returned, and records and rethrows what is thrown", async () => {
  class Full extends Error {
    override name = "Full";
  }
  const events = await recorded(async (run) => {
    assert.equal(await run.step({ kind: "tool", name: "async" }, async () => "value"), "value");
    assert.equal(await run.step({ kind: "tool", name: "sync" }, (step) => step.step({ kind: "custom", name: "nested" }, () => 3)), 3);
    const error = new Full("no seats");
    await assert.rejects(run.step({ kind: "tool", name: "rejects" }, async () => Promise.reject(error)), (thrown) => thrown === error);
    await assert.rejects(run.step({ kind: "tool", name: "throws" }, () => { throw "text"; }), (thrown) => thrown === "text");
    await run.step({ kind: "tool", name: "ends itself" }, (step) => {
      step.end({ output: "own" });
      return "returned";
    });
  });
  const [first, nested, outer, rejects, throws, own] = steps(events);
  assert.deepEqual([first!["status"], first!["output"]], ["ok", "value"]);
  assert.deepEqual([nested!["name"], nested!["parent"], outer!["output"]], ["nested", outer!["id"], 3]);
  assert.equal(rejects!["status"], "error");
  assert.deepEqual([rejects!["error"].type, rejects!["error"].message], ["Full", "no seats"]);
  assert.match(rejects!["error"].stack, /recording\.test\.ts/);
  assert.deepEqual(throws!["error"], { type: "string", message: "text" });
  assert.equal(own!["output"], "own");
});

test("fail and cancel say why, and end what still runs", async () => {
  const failed = await recorded((run) => {
    run.startStep({ kind: "llm", name: "runs", input: "x" });
    run.fail(new TypeError("broken"));
  });
  assert.deepEqual(failed.map((event) => [event.t, event["status"]]), [["start", undefined], ["step", "cancelled"], ["end", "failed"]]);
  assert.deepEqual(failed[1]!["error"], { type: "cancelled", message: "the execution ended" });
  assert.deepEqual([failed[2]!["error"].type, failed[2]!["error"].message], ["TypeError", "broken"]);
  const cancelled = await recorded((run) => run.cancel("user closed it"));
  assert.deepEqual([cancelled[1]!["status"], cancelled[1]!["error"]], ["cancelled", { type: "cancelled", message: "user closed it" }]);
});

test("logs and scores are events", async () => {
  const events = await recorded((run) => {
    run.log({ seats: 3 }, { level: "warn", step: "s" });
    run.score({ name: "helpful", value: true, comment: "good", source: "user" });
  });
  const { at, ...log } = events[1]!;
  assert.equal(typeof at, "number");
  assert.deepEqual(log, { t: "log", n: 1, level: "warn", step: "s", body: { seats: 3 } });
  assert.deepEqual(events[2], { t: "score", n: 2, name: "helpful", value: true, comment: "good", source: "user" });
});

test("a step that runs for long is announced before it ends", async () => {
  const events = await recorded(async (run) => {
    const step = run.startStep({ kind: "llm", name: "slow", input: "q", model: "m" });
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    step.end({ output: "a" });
  });
  assert.deepEqual(events.map((event) => event.t), ["start", "open", "step"]);
  const { t, n, duration_ms, status, output, ...common } = events[2]!;
  assert.deepEqual({ ...common, t: "open", n: 1 }, events[1]);
});

test("each message of a conversation is sent once", async () => {
  const system = { role: "system", content: "be brief" };
  const messages: object[] = [system, { role: "user", content: "hi" }];
  const events = await recorded((run) => {
    run.recordStep({ kind: "llm", name: "1", input: { messages, temperature: 0 } });
    messages.push({ role: "assistant", content: "hello" }, { role: "user", content: "bye" });
    run.recordStep({ kind: "llm", name: "2", input: messages });
  });
  assert.deepEqual(events.map((event) => event.t), ["start", "msg", "msg", "step", "msg", "msg", "step"]);
  assert.deepEqual(events.filter((event) => event.t === "msg").map((event) => [event["i"], event["v"]]), [...messages.entries()]);
  assert.deepEqual(steps(events).map((step) => step["input"]), [{ messages: { $msgs: [[0, 2]] }, temperature: 0 }, { $msgs: [[0, 4]] }]);
});

describe("nothing that is passed makes recording throw", () => {
  const cyclic: Record<string, unknown> = { a: 1 };
  cyclic["self"] = cyclic;
  const shared = { x: 1 };
  const throwing = { ok: 1, get bad() { throw new Error("no"); } };
  const deep = JSON.parse("[".repeat(500) + "]".repeat(500));
  let veryDeep: unknown[] = [];
  for (let level = 0; level < 50_000; level++) veryDeep = [veryDeep];
  const nested = (levels: number, inner: unknown): unknown => (levels === 0 ? inner : [nested(levels - 1, inner)]);
  const cases: [string, unknown, unknown][] = [
    ["a cycle", cyclic, { a: 1, self: { $bad: "cycle" } }],
    ["a value that occurs twice but is no cycle", { a: shared, b: [shared, 1n] }, { a: { x: 1 }, b: [{ x: 1 }, { $bad: "bigint", value: "1" }] }],
    ["a bigint", 12345678901234567890n, { $bad: "bigint", value: "12345678901234567890" }],
    ["functions and symbols", { f() {}, s: Symbol("s"), list: [() => 1] }, { f: { $bad: "function" }, s: { $bad: "symbol" }, list: [{ $bad: "function" }] }],
    ["a function alone", () => 1, { $bad: "function" }],
    ["a getter that throws", throwing, { ok: 1, bad: { $bad: "threw" } }],
    ["toJSON that throws", { when: { toJSON() { throw new Error("no"); } }, b: 2 }, { when: { $bad: "threw" }, b: 2 }],
    ["toJSON on the slow path", { d: new Date(0), n: 1n }, { d: "1970-01-01T00:00:00.000Z", n: { $bad: "bigint", value: "1" } }],
    ["a proxy that throws", new Proxy({}, { ownKeys() { throw new Error("no"); } }), { $bad: "threw" }],
    ["a revoked proxy", (() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return { p: proxy, q: 1 }; })(), { p: { $bad: "threw" }, q: 1 }],
    ["reserved keys", { $msgs: 1, a: { $: 2, $$x: 3 } }, { $$msgs: 1, a: { $$: 2, $$$x: 3 } }],
    ["what JSON leaves out", { u: undefined, n: NaN, i: -Infinity, list: [undefined] }, { n: null, i: null, list: [null] }],
    ["the same on the slow path", { u: undefined, n: NaN, list: [undefined, 1n] }, { n: null, list: [null, { $bad: "bigint", value: "1" }] }],
    ["half a surrogate pair", { a: "x\ud83d", b: "\ude00😀" }, { a: "x\ufffd", b: "\ufffd😀" }],
    ["boxed values", { a: Object("s"), b: Object(1), c: Object(true), d: 1n }, { a: "s", b: 1, c: true, d: { $bad: "bigint", value: "1" } }],
    ["a class with private fields, a map, a regular expression", [new (class { #x = 1; y = this.#x; })(), new Map([[1, 2]]), /x/], [{ y: 1 }, [[1, 2]], {}]],
    ["line breaks and separators", "a\nb\u2028\r\0", "a\nb\u2028\r\0"],
    ["a value deeper than the server reads", deep, nested(61, { $bad: "too_deep" })],
    ["a value deeper than the stack", veryDeep, nested(60, { $bad: "too_deep" })],
  ];
  for (const [name, input, expected] of cases) {
    test(name, async () => {
      const events = await recorded((run) => run.recordStep({ kind: "custom", name: "odd", input }));
      assert.deepEqual(steps(events)[0]!["input"], expected);
    });
  }

  test("as errors", async () => {
    const hostile = new Proxy(new Error("x"), { get() { throw new Error("no"); } });
    const events = await recorded((run) => {
      run.recordStep({ kind: "custom", name: "a", error: hostile });
      run.recordStep({ kind: "custom", name: "b", error: { code: 7 } });
      run.recordStep({ kind: "custom", name: "c", error: null });
    });
    assert.deepEqual(steps(events).map((step) => [step["status"], step["error"]]), [
      ["error", { type: "unknown", message: "" }],
      ["error", { type: "object", message: '{"code":7}' }],
      ["error", { type: "object", message: "null" }],
    ]);
  });

  test("as options", async () => {
    const recorder = await startRecorder();
    const odd = undefined as never;
    const run = recorder.startExecution(odd);
    run.startStep(odd).end(null as never);
    run.startStep({ kind: "tool", get name(): string { throw new Error("no"); } }).fail(odd, odd);
    run.recordStep(odd);
    run.recordStep({ kind: "tool", name: Symbol("x") as never, id: {} as never, at: "soon" as never, duration_ms: -1, metadata: 1n as never });
    run.log(odd, odd);
    run.score(odd);
    run.complete(null as never);
    const counts = await recorder.flush();
    assert.equal(counts.pending, 0);
    assert.equal(counts.dropped, 0);
    await recorder.close();
  });

  test("a text too long for the server is shortened and says how long it was", async () => {
    const recorder = await startRecorder();
    const run = recorder.startExecution({ name: "long" });
    run.recordStep({ kind: "custom", name: "long", input: "x".repeat(1_000_000) });
    run.recordStep({ kind: "custom", name: "longer", input: "y".repeat(20_000_000) });
    run.complete();
    assert.deepEqual(await recorder.flush(), { stored: 4, rejected: 0, dropped: 0, pending: 0, reasons: {} });
    const [long, longer] = steps(collector.events(run.id)).map((step) => step["input"] as { $cut: { bytes: number; sha256?: string; start?: string } });
    assert.equal(long!.$cut.bytes, 1_000_002);
    assert.equal(long!.$cut.sha256, createHash("sha256").update(JSON.stringify("x".repeat(1_000_000))).digest("base64url"));
    assert.match(long!.$cut.start!, /^x{200000,250000}$/);
    assert.deepEqual(longer, { $cut: { bytes: 20_000_002 } });
    await recorder.close();
  });
});

test("bytes are recorded as a reference, which nothing recorded can pose as", async () => {
  const recorder = await startRecorder();
  const bytes = new TextEncoder().encode("a screenshot");
  const reference = await recorder.blob(bytes, "image/png");
  const sha256 = createHash("sha256").update(bytes).digest("base64url");
  assert.deepEqual({ ...reference }, { sha256, bytes: 12, type: "image/png" });
  assert.equal((await recorder.blob(new Blob(["x"], { type: "text/plain" }))).type, "text/plain");
  const run = recorder.startExecution({ name: "bytes" });
  run.log([reference, { ...reference }, { $blob: reference }, bytes]);
  await recorder.close();
  const $blob = { sha256, bytes: 12, type: "image/png" };
  assert.deepEqual(collector.events(run.id).at(-1)!["body"], [{ $blob }, $blob, { $$blob: { $blob } }, { $blob: { bytes: 12 } }]);
});

test("an id of one's own is used if it can be", async () => {
  const recorder = await startRecorder();
  assert.equal(recorder.startExecution({ name: "a", id: "order-2024-0000001" }).id, "order-2024-0000001");
  assert.match(recorder.startExecution({ name: "b", id: "too short" }).id, /^run_[0-9a-f]{32}$/);
  assert.equal((await recorder.close()).stored, 2);
});

test("what comes after the end is counted, not recorded", async () => {
  const recorder = await startRecorder();
  const run = recorder.startExecution({ name: "ended" });
  const step = run.startStep({ kind: "tool", name: "late" });
  run.complete();
  step.end();
  run.recordStep({ kind: "tool", name: "later" });
  run.cancel();
  assert.deepEqual(await recorder.flush(), { stored: 3, rejected: 0, dropped: 2, pending: 0, reasons: { execution_ended: 2 } });
  assert.equal(run.getSnapshot().status, "completed");
  await recorder.close();
});

test("a snapshot is the execution as recorded", async () => {
  const recorder = await startRecorder();
  const run = recorder.startExecution({ name: "snap" });
  const input = { list: [1] };
  const agent = run.startStep({ kind: "agent", name: "outer" });
  const step = agent.startStep({ kind: "llm", name: "inner", input });
  input.list.push(2);
  step.end({ usage: { input: 5, cache_read: 1, output: 2 }, cost_usd: 0.25, output: "o" });
  agent.end({ usage: { input: 5, cache_read: 1, output: 2 }, cost_usd: 0.25 });
  const running = run.startStep({ kind: "tool", name: "runs", input: { a: 1 } });
  const snapshot = run.getSnapshot();
  assert.deepEqual(
    [snapshot.id, snapshot.name, snapshot.status, snapshot.ended_at, snapshot.usage, snapshot.cost_usd],
    [run.id, "snap", "running", null, { input: 5, cache_read: 1, cache_write: 0, output: 2, reasoning: 0 }, 0.25],
  );
  assert.deepEqual(snapshot.steps.map(({ name, status }) => [name, status]), [["inner", "ok"], ["outer", "ok"], ["runs", "running"]]);
  assert.deepEqual(snapshot.steps[0]!.input, { list: [1] }, "as it was when it was passed");
  assert.deepEqual(snapshot.steps[2]!.input, { a: 1 });
  running.cancel("enough");
  run.complete();
  assert.equal(run.getSnapshot().status, "completed");
  assert.equal(typeof run.getSnapshot().ended_at, "number");
  await recorder.close();
});

test("a snapshot of a very long execution keeps its structure and lets contents go", async () => {
  const recorder = await startRecorder();
  const run = recorder.startExecution({ name: "long" });
  for (let index = 0; index < 60; index++) run.recordStep({ kind: "tool", name: `s${index}`, input: "x".repeat(100_000) });
  const { steps } = run.getSnapshot();
  assert.equal(steps.length, 60);
  assert.equal((steps[0]!.input as string).length, 100_000);
  assert.deepEqual([steps[59]!.name, steps[59]!.input], ["s59", undefined]);
  await recorder.close();
});
