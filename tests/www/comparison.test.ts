import assert from "node:assert/strict";
import { test } from "node:test";

import type { ComparedStep, Comparison } from "../../www/src/api.ts";
import { beginningOf, commonEnds, countsOf, differenceOf, differingMembers, limitsOf } from "../../www/src/comparison.ts";
import { cost, count, duration } from "../../www/src/format.ts";

test("a difference is from A to B, signed, with its share of A", () => {
  assert.equal(differenceOf(1000, 1500, duration), "+500 ms (+50%)");
  assert.equal(differenceOf(40, 10, count), "−30 (−75%)");
  assert.equal(differenceOf(1000, 1001, count), "+1 (+<1%)");
  assert.equal(differenceOf(0, 7, count), "+7", "there is no share of nothing");
  assert.equal(differenceOf(0.1 + 0.2, 0.3, cost), "none", "sums of the same dollars");
  assert.equal(differenceOf(null, 7, count), null);
  assert.equal(beginningOf(5000, 2000), "3.00 s earlier");
  assert.equal(beginningOf(5, 5), "at the same time");
});

test("the members that differ are named once, in order", () => {
  const differences = ["/status", "/input/messages/1/content", "/input/q", "/output"].map((path) => ({ path, change: "changed", a: null, b: null }));
  assert.deepEqual(differingMembers({ differences } as unknown as ComparedStep), ["status", "input", "output"]);
  assert.deepEqual(differingMembers({} as ComparedStep), []);
});

test("what two texts have in common at their ends never cuts a character nor counts one twice", () => {
  assert.deepEqual(commonEnds('"to Seattle"', '"to Salem"'), { start: 5, end: 1 });
  assert.deepEqual(commonEnds("aa", "aaa"), { start: 2, end: 0 });
  assert.deepEqual(commonEnds("a", "b"), { start: 0, end: 0 });
  assert.deepEqual(commonEnds("x😀y", "x😁y"), { start: 1, end: 1 });
  // The same low half after different high ones.
  assert.deepEqual(commonEnds("\u{1F600}", "\u{1FA00}"), { start: 0, end: 0 });
});

test("what a comparison leaves out is said", () => {
  const side = (truncated: boolean) => ({ truncated, compared_steps: 1000, steps: 1200 });
  const limits = (a: boolean, b: boolean, truncated: boolean) => limitsOf({ a: side(a), b: side(b), truncated } as Comparison);
  assert.deepEqual(limits(false, false, false), []);
  assert.deepEqual(limits(true, false, true), ["Only the beginning is compared: the first 1,000 of 1,200 steps of A."]);
  assert.match(limits(true, true, true)[0]!, /of A, and the first 1,000 of 1,200 steps of B\.$/);
  assert.match(limits(false, false, true)[0]!, /^Not every difference is told/);
  assert.equal(countsOf({ same: 1200, changed: 1, only_a: 0, only_b: 2 }), "1 changed, 2 only in B, 1,200 same");
});
