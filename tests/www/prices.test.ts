import assert from "node:assert/strict";
import { test } from "node:test";

import type { Price } from "../../www/src/administration.ts";
import { dollars, draftOf, EMPTY_DRAFT, isFault, localTime, placeOf, UNREADABLE, validityOf, wantedOf } from "../../www/src/prices.ts";

const price = (more: Partial<Price> = {}): Price => ({
  model: "m", valid_from: null, valid_until: null, usd_per_million: { input: 2.5, cache_read: 1.25, cache_write: 2.5, output: 10, reasoning: 10 }, ...more,
});

test("what costs the same as what it is a kind of is left out, and follows that", () => {
  const draft = draftOf(price());
  assert.deepEqual([draft.input, draft.cache_read, draft.cache_write, draft.output, draft.reasoning], ["2.5", "1.25", "", "10", ""]);
  const wanted = wantedOf({ ...draft, input: "3" }, price());
  assert.deepEqual(wanted, { model: "m", valid_from: null, valid_until: null, usd_per_million: { input: 3, cache_read: 1.25, output: 10 } });
  assert.deepEqual(wantedOf({ ...draft, input: "1e-9", reasoning: "0" }, null), { model: "m", valid_from: null, valid_until: null, usd_per_million: { input: 1e-9, cache_read: 1.25, output: 10, reasoning: 0 } });
});

test("what is typed and is no value is a fault of its control", () => {
  const typed = { ...EMPTY_DRAFT, model: "m", input: "1", output: "2" };
  assert.ok(!isFault(wantedOf(typed, null)));
  for (const [member, text] of [["input", ""], ["output", " "], ["cache_read", UNREADABLE], ["reasoning", "1e999"], ["valid_from", UNREADABLE], ["valid_until", UNREADABLE]] as const) {
    const wanted = wantedOf({ ...typed, [member]: text }, null);
    assert.ok(isFault(wanted) && wanted.member === member, member);
  }
});

test("a time that is not touched stays to the millisecond", () => {
  const before = price({ valid_from: 1_790_000_000_123, valid_until: 0 });
  const wanted = wantedOf(draftOf(before), before);
  assert.ok(!isFault(wanted));
  assert.deepEqual([wanted.valid_from, wanted.valid_until], [1_790_000_000_123, 0]);
  assert.equal(new Date(localTime(1_790_000_000_123)).getTime(), 1_790_000_000_123);
  assert.equal(localTime(null), "");
});

test("a problem's field names a row and its control", () => {
  assert.deepEqual(placeOf("prices[2].usd_per_million.cache_read"), { row: 2, member: "cache_read" });
  assert.deepEqual(placeOf("prices[0].model"), { row: 0, member: "model" });
  assert.deepEqual(placeOf("prices[11]"), { row: 11, member: null });
  assert.deepEqual(placeOf("prices[1].valid_from"), { row: 1, member: "valid_from" });
  assert.deepEqual(placeOf("prices[1].toString"), { row: 1, member: null }, "no control is called so");
  for (const field of [null, "prices", "expected_version", "prices[x].model"]) assert.equal(placeOf(field), null);
});

test("prices and their time are told as people read them", () => {
  assert.deepEqual([0, 2.5, 0.075, 1e-9, 10_000].map(dollars), ["0.00", "2.50", "0.075", "0.000000001", "10,000.00"]);
  assert.equal(validityOf(price()), "always");
  assert.match(validityOf(price({ valid_from: 1_790_000_000_000, valid_until: 1_800_000_000_000 })), /^from 2026-\d\d-\d\d \d\d:\d\d until 2027-\d\d-\d\d \d\d:\d\d$/);
});
