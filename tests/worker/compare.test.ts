// Comparison of two executions: aligned steps, members that differ, and bounds that are said.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Api } from "../client/api.ts";
import { chain, executionId, seal, session, type Event } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const NOW = Date.now();

let worker: Worker;
let project: Project;
let viewer: Api;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_compare");
  viewer = worker.api.withKey(project.viewerKey);
});

after(() => worker.stop());

/** Numbers the events, adds start and end, and sends them `size` a batch. */
async function record(of: Project, events: object[], size = 1_000): Promise<string> {
  const id = executionId();
  const all = [{ t: "start", at: NOW, name: "compared" }, ...events, { t: "end", at: NOW + 50, status: "completed", last: events.length + 1 }]
    .map((event, n) => ({ ...event, n })) as Event[];
  const pieces = Array.from({ length: Math.ceil(all.length / size) }, (_, k) => all.slice(k * size, (k + 1) * size));
  const sender = session(of.secret, of.id, of.kid);
  for (const bytes of chain(id, pieces)) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
  return id;
}

const step = (name: string, more: object = {}) => ({ t: "step", id: name, kind: "tool", name, at: NOW, duration_ms: 5, status: "ok", ...more });
const message = (i: number, content: string) => ({ t: "msg", i, v: { role: "user", content } });
const changes = (json: any) => json.steps.map(({ name, change }: any) => [name, change]);

describe("two executions", () => {
  test("are aligned, and what differs is told with time, tokens and cost", async () => {
    const usage = (input: number, cost_usd: number) => ({ model: "m", usage: { input }, cost_usd });
    const a = await record(project, [
      message(0, "hello"), message(1, "to Seattle"),
      step("plan", { kind: "llm", ...usage(10, 0.1), input: { messages: { $msgs: [[0, 2]] } }, output: { city: "SEA" } }), step("search"), step("book", { parent: "plan" }),
    ]);
    const b = await record(project, [
      message(0, "hello"), message(1, "to New York"),
      step("plan", { kind: "llm", ...usage(30, 0.3), duration_ms: 9, input: { messages: { $msgs: [[0, 2]] } }, output: { city: "JFK", sure: true } }), step("book", { parent: "plan" }), step("mail"),
    ], 3);
    const { status, json } = await viewer.get(`/v1/executions/${a}/compare/${b}`);
    assert.equal(status, 200, JSON.stringify(json));
    assert.deepEqual(changes(json), [["plan", "changed"], ["search", "only_a"], ["book", "same"], ["mail", "only_b"]]);
    assert.deepEqual([json.counts, json.truncated], [{ changed: 1, only_a: 1, only_b: 1, same: 1 }, false]);
    const [plan, , book] = json.steps;
    assert.deepEqual(plan.differences.map(({ path, change, a, b }: any) => [path, change, a, b]), [
      ["/input/messages/1/content", "changed", '"to Seattle"', '"to New York"'], ["/output/city", "changed", '"SEA"', '"JFK"'], ["/output/sure", "only_b", null, "true"],
    ]);
    assert.deepEqual([plan.a.duration_ms, plan.b.duration_ms, plan.a.usage.input, plan.b.usage.input, plan.a.cost_usd, plan.b.cost_usd], [5, 9, 10, 30, 0.1, 0.3]);
    assert.deepEqual([book.under, book.kind], [["plan"], "tool"]);
    assert.deepEqual([json.a.id, json.b.id, json.a.cost_usd, json.b.cost_usd, json.b.usage.input, json.a.compared_steps], [a, b, 0.1, 0.3, 30, 3]);
  });

  test("of many steps are compared as far as the bounds reach, and the reply says so", async () => {
    const steps = (count: number) => Array.from({ length: count }, (_, i) => step(`s${i}`));
    const [long, short] = [await record(project, steps(1_200), 900), await record(project, steps(5))];
    const { json } = await viewer.get(`/v1/executions/${long}/compare/${short}`);
    assert.deepEqual([json.truncated, json.a.truncated, json.b.truncated, json.a.compared_steps, json.a.steps], [true, true, false, 1_000, 1_200]);
    assert.deepEqual(json.counts, { changed: 0, only_a: 995, only_b: 0, same: 5 });
    const batches = await record(project, steps(40), 2);
    const many = (await viewer.get(`/v1/executions/${batches}/compare/${batches}`)).json;
    assert.deepEqual([many.a.truncated, many.a.compared_steps, many.counts.same], [true, 35, 35]);
  });

  test("need both to be there and one's own, and are audited as read", async () => {
    const other = await worker.createProject("prj_compare_too");
    const [own, foreign] = [await record(project, [step("a")]), await record(other, [step("a")])];
    for (const path of [`${own}/compare/${foreign}`, `${foreign}/compare/${own}`, `${own}/compare/${executionId()}`, `${own}/compare/nonsense!`]) {
      const { status, json } = await viewer.get(`/v1/executions/${path}`);
      assert.deepEqual([status, json.code], [404, "execution_not_found"], path);
    }
    const unknown = await viewer.get(`/v1/executions/${own}/compare/${own}?limit=2`);
    assert.deepEqual([unknown.status, unknown.json.code, unknown.json.field], [400, "parameter_unknown", "limit"]);
    const second = await record(project, [step("a")]);
    assert.equal((await viewer.get(`/v1/executions/${own}/compare/${second}`)).status, 200);
    const { entries } = (await worker.api.withKey(project.adminKey).get("/v1/audit?action=execution.read&limit=200")).json;
    for (const id of [own, second]) assert.equal(entries.filter(({ target }: any) => target === id).length, 1);
  });
});
