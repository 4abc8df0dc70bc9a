import assert from "node:assert/strict";
import { test } from "node:test";

import type { Step } from "../../www/src/api.ts";
import { barOf, layOutSteps, settledSteps, spanOf } from "../../www/src/step-tree.ts";

function step(n: number, fields: Partial<Step> = {}): Step {
  return { writer: "", k: 0, n, id: `s${n}`, at: 1000 + n, duration_ms: 0, ...fields };
}

function outline(steps: Step[]): [unknown, number, boolean][] {
  return layOutSteps(steps).map((row) => [row.step.id, row.depth, row.orphan]);
}

test("children stand below their parent, siblings by start, though parents are written after their children", () => {
  const steps = [
    step(1, { id: "child b", parent: "root", at: 30 }),
    step(2, { id: "child a", parent: "root", at: 20 }),
    step(3, { id: "grandchild", parent: "child a", at: 21 }),
    step(4, { id: "root", at: 10 }),
  ];
  assert.deepEqual(outline(steps), [
    ["root", 0, false], ["child a", 1, false], ["grandchild", 2, false], ["child b", 1, false],
  ]);
});

test("a beginning goes when the step's end is loaded, and one without an end is abandoned once nothing more will come", () => {
  const steps = [step(1, { id: "a", status: "running" }), step(2, { id: "b", status: "running" }), step(3, { id: "a", status: "ok" })];
  const told = (isAll: boolean) => settledSteps(steps, isAll).map(({ n, status }) => [n, status]);
  assert.deepEqual(told(false), [[2, "running"], [3, "ok"]]);
  assert.deepEqual(told(true), [[2, "abandoned"], [3, "ok"]]);
});

test("a step whose parent is not there is a root, and says so", () => {
  assert.deepEqual(outline([step(1, { parent: "elsewhere" })]), [["s1", 0, true]]);
});

test("steps that are each other's parents, their own, or share an id appear once each", () => {
  const steps = [
    step(1, { id: "a", parent: "b" }),
    step(2, { id: "b", parent: "a" }),
    step(3, { id: "self", parent: "self" }),
    step(4, { id: "self" }),
    step(5, { id: 7 as unknown as string, parent: {} }),
  ];
  assert.deepEqual(layOutSteps(steps).map((row) => row.key).sort(), [":1", ":2", ":3", ":4", ":5"]);
});

test("nesting of 50,000 steps is laid out", () => {
  const steps = Array.from({ length: 50_000 }, (_, n) => step(n, n === 0 ? {} : { parent: `s${n - 1}` }));
  const rows = layOutSteps(steps);
  assert.equal(rows.length, 50_000);
  assert.equal(rows.at(-1)!.depth, 49_999);
});

test("bars are fractions of the time that the execution covers", () => {
  const steps = [step(1, { at: 100, duration_ms: 50 }), step(2, { at: 150, duration_ms: 50 })];
  const span = spanOf(steps, 100, null);
  assert.deepEqual(span, { start: 100, end: 200 });
  assert.deepEqual(barOf(steps[1]!, span), { left: 0.5, width: 0.5 });
  assert.deepEqual(barOf(step(3, { at: 150, status: "running" }), span), { left: 0.5, width: 0.5 });
  assert.equal(barOf(step(4, { at: "soon" }), span), null);
});
