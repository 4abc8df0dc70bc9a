import assert from "node:assert/strict";
import { test } from "node:test";

import { executionPath, routeOf } from "../../www/src/router.ts";
import { keyFault } from "../../www/src/session.ts";

test("paths name pages; whatever else names none", () => {
  assert.deepEqual(routeOf("/"), { page: "executions" });
  assert.deepEqual(routeOf("/playground"), { page: "playground" });
  assert.deepEqual(routeOf("/executions/run_1"), { page: "execution", id: "run_1" });
  for (const path of ["/executions", "/executions/a/b", "/executions/%ff", "/elsewhere"]) assert.deepEqual(routeOf(path), { page: "unknown" });
});

test("an id of any characters comes back from its path", () => {
  const id = "a/b?c#d %é";
  assert.deepEqual(routeOf(new URL(executionPath(id), "http://site").pathname), { page: "execution", id });
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
