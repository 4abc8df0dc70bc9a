// Executions as OpenTelemetry traces, read with OpenTelemetry's own definitions where they are there.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Api } from "../client/api.ts";
import { body, chain, executionId, seal, session, stepId, type Event } from "../client/batches.ts";
import { exported, lines, page, pages } from "../client/transfer.ts";
import { ROOT, Worker, type Project } from "../fixtures/worker.ts";

const LIST = "/v1/export/traces.jsonl";
const AT = Date.now() - 60_000;
/** A Python that has OpenTelemetry's protobuf definitions: `pip install opentelemetry-proto`. */
const PYTHON = process.env.STEPSEAL_PYTHON ?? "python3";
const unread: string | false = spawnSync(PYTHON, ["-c", "import opentelemetry.proto.collector.trace.v1.trace_service_pb2"]).status === 0
  ? false : `needs OpenTelemetry's definitions: pip install opentelemetry-proto for ${PYTHON}, or name another in STEPSEAL_PYTHON`;

let worker: Worker;
let project: Project;
let viewer: Api;
const ids = { whole: executionId(), child: executionId(), running: executionId(), own: "backend-run-0000001" };
const steps = { agent: stepId(), plan: stepId(), tool: stepId(), search: stepId(), open: stepId() };

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_traces");
  viewer = worker.api.withKey(project.viewerKey);
  const system = { role: "system", content: "be kind" };
  const whole: Event[][] = [
    [
      { t: "start", n: 0, at: AT, name: "book a flight", agent: "travel", session: "chat_1", user: "ann", release: "1.2", environment: "production", tags: ["a", "b"], input: { q: "SEA" } },
      { t: "msg", n: 1, i: 0, v: system }, { t: "msg", n: 2, i: 1, v: { role: "user", content: "to SEA" } },
      { t: "open", n: 3, id: steps.agent, kind: "agent", name: "planner", at: AT + 1 },
      { t: "step", n: 4, id: steps.plan, kind: "llm", name: "plan", at: AT + 2, duration_ms: 12.5, status: "ok", parent: steps.agent, model: "gpt-4o", provider: "openai", ttft_ms: 5, input: { $msgs: [[0, 2]] }, output: "Seattle", usage: { input: 100, cache_read: 50, output: 20, reasoning: 7 }, cost_usd: 0.0123 },
    ],
    [
      { t: "step", n: 5, id: steps.tool, kind: "tool", name: "search", at: AT + 20, duration_ms: 3, status: "error", parent: steps.agent, input: { from: "JFK" }, error: { type: "TypeError", message: "no seats", stack: "at x" }, tool: { name: "search_flights", call_id: "call_1" } },
      { t: "step", n: 6, id: steps.search, kind: "retrieval", name: "look", at: AT + 24, duration_ms: 1, status: "cancelled", input: "rules", output: [{ id: "d1" }] },
      { t: "step", n: 7, id: steps.agent, kind: "agent", name: "planner", at: AT + 1, duration_ms: 30, status: "ok" },
      { t: "end", n: 8, status: "failed", at: AT + 40, last: 8, error: { type: "Timeout", message: "too late" } },
    ],
  ];
  await store(chain(ids.whole, whole));
  await store([body(ids.child, [{ t: "start", n: 0, at: AT - 1_000, name: "sub", parent: { x: ids.whole, step: steps.tool } }, { t: "end", n: 1, status: "completed", at: AT - 900, last: 1 }])]);
  await store([body(ids.running, [{ t: "start", n: 0, at: AT - 2_000, name: "wait" }, { t: "open", n: 1, id: steps.open, kind: "llm", name: "think", at: AT - 1_990, model: "m" }])]);
  await store([body(ids.own, [{ t: "start", n: 0, at: AT - 3_000, name: "own ids" }, { t: "step", n: 1, id: "first", kind: "custom", name: "one", at: AT - 3_000, duration_ms: 1, status: "ok", parent: "later" }])]);
});

after(() => worker.stop());

async function store(bodies: Uint8Array[]): Promise<void> {
  for (const bytes of bodies) assert.equal((await worker.api.sendBatch(seal(session(project.secret, project.id, project.kid), bytes))).json.code, "stored");
}

type Span = { resource: Record<string, unknown>; trace: string; id: string; parent: string; name: string; kind: string; start: number; end: number; attributes: Record<string, any>; status: string; message: string; events: [string, Record<string, unknown>][]; links: [string, string][] };

/** The spans as OpenTelemetry's definitions read them. */
function read(text: string): Span[] {
  const { status, stdout, stderr } = spawnSync(PYTHON, [join(ROOT, "tests", "fixtures", "otlp.py")], { input: text, encoding: "utf8", maxBuffer: 64 << 20 });
  assert.equal(status, 0, stderr);
  return lines(stdout).map((line) => JSON.parse(line));
}

const raw = (text: string): any[] => lines(text).flatMap((line) => JSON.parse(line).resourceSpans.flatMap((resource: any) => resource.scopeSpans.flatMap(({ spans }: any) => spans)));

test("scores are events of the execution's span, those of sessions and of keys", async () => {
  const own = await worker.createProject("prj_traces_scored");
  const [id, step] = [executionId(), stepId()];
  const events: Event[] = [
    { t: "start", n: 0, at: AT, name: "ask" }, { t: "step", n: 1, id: step, kind: "llm", name: "answer", at: AT, duration_ms: 1, status: "ok" },
    { t: "score", n: 2, name: "helpful", value: 0.75, comment: "nearly", step }, { t: "end", n: 3, at: AT + 1, status: "completed", last: 3 },
  ];
  assert.equal((await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), body(id, events)))).json.code, "stored");
  await worker.api.withKey(own.adminKey).request("POST", `/v1/executions/${id}/scores`, JSON.stringify({ id: "k", name: "safe", value: true, source: "review" }));
  const spans = raw(await exported(worker.api.withKey(own.viewerKey), LIST));
  const [root] = spans.filter(({ parentSpanId }: any) => parentSpanId === undefined);
  const found = root.events.map(({ name, attributes }: any) => [name, Object.fromEntries(attributes.map(({ key, value }: any) => [key, Object.values(value)[0]]))]);
  const named = (name: string) => found.find(([, attributes]: any) => attributes["gen_ai.evaluation.name"] === name);
  assert.equal(found.length, 2);
  assert.deepEqual(named("helpful"), ["gen_ai.evaluation.result", {
    "gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.75, "gen_ai.evaluation.explanation": "nearly", "stepseal.score.id": ".2", "stepseal.score.span_id": step,
  }]);
  assert.deepEqual(named("safe"), ["gen_ai.evaluation.result", {
    "gen_ai.evaluation.name": "safe", "gen_ai.evaluation.score.value": 1, "gen_ai.evaluation.score.label": "true", "stepseal.score.id": "k", "stepseal.score.source": "review",
  }]);
  assert.ok(spans.some(({ spanId }: any) => spanId === step));
});

describe("as OpenTelemetry reads them", { skip: unread }, () => {
  let spans: Span[];
  before(async () => {
    spans = read(await exported(viewer, LIST));
  });
  const span = (id: string) => spans.find((found) => found.id === id)!;
  const rootOf = (execution: string) => spans.find(({ attributes }) => attributes["stepseal.execution.id"] === execution)!;

  test("an execution is a trace, a step a span under its parent", () => {
    const trace = ids.whole.slice(4);
    const root = rootOf(ids.whole);
    assert.deepEqual([root.trace, root.parent, root.name, root.kind, root.status, root.message], [trace, "", "invoke_agent travel", "SPAN_KIND_INTERNAL", "STATUS_CODE_ERROR", "too late"]);
    assert.deepEqual(root.resource, { "service.name": project.id, "service.version": "1.2", "deployment.environment.name": "production" });
    assert.deepEqual([root.start, root.end].map((ns) => Math.round(ns / 1e6)), [AT, AT + 40]);
    assert.deepEqual(root.attributes["stepseal.tags"], ["a", "b"]);
    assert.deepEqual([root.attributes["gen_ai.conversation.id"], root.attributes["user.id"], root.attributes["error.type"]], ["chat_1", "ann", "Timeout"]);
    const parents = Object.fromEntries(spans.filter((found) => found.trace === trace).map(({ id, parent }) => [id, parent]));
    assert.deepEqual(parents, { [root.id]: "", [steps.agent]: root.id, [steps.plan]: steps.agent, [steps.tool]: steps.agent, [steps.search]: root.id });
  });

  test("steps follow the conventions for generative AI", () => {
    const plan = span(steps.plan);
    assert.deepEqual([plan.name, plan.kind, plan.status], ["chat gpt-4o", "SPAN_KIND_CLIENT", "STATUS_CODE_UNSET"]);
    const { "gen_ai.input.messages": input, "gen_ai.output.messages": output, ...rest } = plan.attributes;
    assert.deepEqual(JSON.parse(input), [{ role: "system", parts: [{ type: "text", content: "be kind" }] }, { role: "user", parts: [{ type: "text", content: "to SEA" }] }]);
    assert.deepEqual(JSON.parse(output), [{ role: "assistant", parts: [{ type: "text", content: "Seattle" }], finish_reason: "unknown" }]);
    assert.deepEqual(rest, {
      "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 150, "gen_ai.usage.output_tokens": 27,
      "gen_ai.usage.cache_read.input_tokens": 50, "gen_ai.usage.reasoning.output_tokens": 7, "gen_ai.response.time_to_first_chunk": 0.005,
      "stepseal.step.kind": "llm", "stepseal.step.name": "plan", "stepseal.status": "ok", "stepseal.cost_usd": 0.0123,
    });
    const tool = span(steps.tool);
    assert.deepEqual([tool.name, tool.kind, tool.status, tool.message], ["execute_tool search_flights", "SPAN_KIND_INTERNAL", "STATUS_CODE_ERROR", "no seats"]);
    assert.deepEqual([tool.attributes["gen_ai.tool.call.id"], tool.attributes["gen_ai.tool.call.arguments"], tool.attributes["error.type"]], ["call_1", '{"from":"JFK"}', "TypeError"]);
    assert.deepEqual(tool.events, [["exception", { "exception.type": "TypeError", "exception.message": "no seats", "exception.stacktrace": "at x" }]]);
    const look = span(steps.search);
    assert.deepEqual([look.name, look.attributes["gen_ai.retrieval.query.text"], look.attributes["stepseal.status"], look.status], ["retrieval", "rules", "cancelled", "STATUS_CODE_UNSET"]);
  });

  test("what was begun from another execution links to it", () => {
    assert.deepEqual(rootOf(ids.child).links, [[ids.whole.slice(4), steps.tool]]);
    assert.deepEqual(rootOf(ids.whole).links, []);
  });

  test("a running step ends with what is known of its execution, and says so", () => {
    const [root, open] = [rootOf(ids.running), span(steps.open)];
    assert.deepEqual([open.attributes["stepseal.status"], root.attributes["stepseal.status"], open.end, open.parent], ["running", "running", root.end, root.id]);
  });

  test("ids that are no trace's are made into one, the same each time", async () => {
    const root = rootOf(ids.own);
    const own = spans.filter(({ trace }) => trace === root.trace);
    assert.equal(own.length, 2);
    assert.deepEqual(read(await exported(viewer, `${LIST}?execution=${ids.own}`)), own);
  });
});

describe("the file", () => {
  test("is one request a line, the same wherever it is cut", async () => {
    const file = await exported(viewer, LIST);
    for (const line of lines(file)) assert.deepEqual(Object.keys(JSON.parse(line)), ["resourceSpans"]);
    const cut = await pages(viewer, `${LIST}?limit=1`);
    assert.ok(cut.length >= 4);
    assert.equal(cut.join(""), file);
    assert.equal((await page(viewer, LIST)).headers.get("content-type"), "application/x-ndjson");
    assert.equal(raw(file).length, 5 + 1 + 2 + 2);
  });

  test("a long execution's open steps are found at its end, across pages", async () => {
    const id = executionId();
    const [ended, never] = [stepId(), stepId()];
    const pieces: Event[][] = Array.from({ length: 25 }, (_, n) => [{ t: "log", n, at: AT, body: `line ${n}` }]);
    pieces[0] = [{ t: "start", n: 0, at: AT, name: "long" }];
    pieces[1] = [{ t: "open", n: 1, id: ended, kind: "tool", name: "ends", at: AT + 1 }];
    pieces[2] = [{ t: "open", n: 2, id: never, kind: "tool", name: "never", at: AT + 2 }];
    pieces[24] = [{ t: "step", n: 24, id: ended, kind: "tool", name: "ends", at: AT + 1, duration_ms: 9, status: "ok" }];
    await store(chain(id, pieces));
    const cut = await pages(viewer, `${LIST}?execution=${id}`);
    assert.equal(cut.length, 3);
    const spans = raw(cut.join(""));
    assert.deepEqual(spans.map(({ name }) => name), ["long", "execute_tool ends", "execute_tool never"]);
    const status = (span: any) => span.attributes.find(({ key }: any) => key === "stepseal.status").value.stringValue;
    assert.deepEqual(spans.map(status), ["running", "ok", "running"]);
  });

  test("refuses what it does not know", async () => {
    for (const [query, status, code, field] of [["?format=x", 400, "parameter_unknown", "format"], [`?execution=${executionId()}`, 404, "execution_not_found", undefined], ["?cursor=x", 400, "cursor_invalid", "cursor"]] as const) {
      const { status: got, json } = await viewer.get(LIST + query);
      assert.deepEqual([got, json.code, json.field], [status, code, field]);
    }
  });
});
