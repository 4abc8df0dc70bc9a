import assert from "node:assert/strict";
import { test } from "node:test";

import { comparisonPath, executionIn, executionPath, routeOf } from "../../www/src/router.ts";
import { keyFault } from "../../www/src/session.ts";

test("paths name pages; whatever else names none", () => {
  assert.deepEqual(routeOf("/"), { page: "executions" });
  assert.deepEqual(routeOf("/playground"), { page: "playground" });
  assert.deepEqual(routeOf("/executions/run_1"), { page: "execution", id: "run_1" });
  assert.deepEqual(routeOf("/executions/run_1/compare/run_2"), { page: "comparison", a: "run_1", b: "run_2" });
  for (const path of ["/executions", "/executions/a/b", "/executions/a/compare", "/executions/a/with/b", "/executions/a/compare/%ff", "/executions/%ff", "/elsewhere"]) assert.deepEqual(routeOf(path), { page: "unknown" });
});

test("an id of any characters comes back from its path", () => {
  const id = "a/b?c#d %é";
  assert.deepEqual(routeOf(new URL(executionPath(id), "http://site").pathname), { page: "execution", id });
  assert.deepEqual(routeOf(new URL(comparisonPath(id, "b"), "http://site").pathname), { page: "comparison", a: id, b: "b" });
});

test("an execution is named by its id, its path or its address", () => {
  for (const pasted of ["run_1", " run_1\n", "/executions/run_1", "https://example.com/executions/run_1?x#y"]) assert.equal(executionIn(pasted), "run_1", pasted);
  for (const pasted of ["", "  ", "https://example.com/", "http://[", "/executions/a/compare/b"]) assert.equal(executionIn(pasted), null, pasted);
});

test("only the form of a viewer or admin key is accepted, and other keys are named", () => {
  assert.equal(keyFault(`stepseal_viewer_${"0a".repeat(20)}`), null);
  assert.equal(keyFault(`stepseal_admin_${"0a".repeat(20)}`), null);
  assert.match(keyFault("stepseal_viewer_0a")!, /cut short or altered/);
  assert.match(keyFault("stepseal_pub_x")!, /publishable key/);
  assert.match(keyFault("stepseal_operator_x")!, /operator key/);
  assert.match(keyFault("whsec_x")!, /project secret/);
  assert.match(keyFault("hello")!, /no Stepseal key/);
});
