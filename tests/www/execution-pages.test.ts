import assert from "node:assert/strict";
import { test } from "node:test";

import type { Execution, ExecutionList } from "../../www/src/api.ts";
import { withFreshPage, withOlder } from "../../www/src/execution-pages.ts";
import type { Shown } from "../../www/src/execution-pages.ts";

function rows(ids: string, status = "completed"): Execution[] {
  return [...ids].map((id) => ({ id, status }) as Execution);
}

function page(ids: string, next_cursor: string | null, status?: string): ExecutionList {
  return { executions: rows(ids, status), next_cursor, window: { from: null, to: null } };
}

function ids(shown: Shown): string {
  return shown.rows.map((row) => row.id).join("");
}

test("older pages are appended, nothing twice", () => {
  const shown = withOlder({ rows: rows("abc"), cursor: "1" }, page("cde", "2"));
  assert.equal(ids(shown), "abcde");
  assert.equal(shown.cursor, "2");
});

test("a fresh first page brings new rows and changes, and keeps the older ones with their cursor", () => {
  const shown = withFreshPage({ rows: rows("abcdef", "running"), cursor: "older" }, page("xab", "fresh"));
  assert.equal(ids(shown), "xabcdef");
  assert.equal(shown.rows[1]!.status, "completed");
  assert.equal(shown.cursor, "older");
});

test("a row that left the fresh page's range is gone", () => {
  assert.equal(ids(withFreshPage({ rows: rows("abcd"), cursor: null }, page("ac", "fresh"))), "acd");
});

test("without overlap there may be a gap, so the fresh page stands alone", () => {
  const shown = withFreshPage({ rows: rows("abc"), cursor: "older" }, page("xyz", "fresh"));
  assert.equal(ids(shown), "xyz");
  assert.equal(shown.cursor, "fresh");
});

test("a first page that is the only page is everything", () => {
  const shown = withFreshPage({ rows: rows("abc"), cursor: "older" }, page("a", null));
  assert.equal(ids(shown), "a");
  assert.equal(shown.cursor, null);
});
