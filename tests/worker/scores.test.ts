// Scores: written by sessions with what they record and by keys afterwards; shown, found, summed, and gone with their execution.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Api, Reply } from "../client/api.ts";
import { body, chain, executionId, seal, session, type Event } from "../client/batches.ts";
import { eventsOf } from "../client/recorded.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const HOUR = 3_600_000;
const NOW = Date.now();

let worker: Worker;

before(async () => {
  worker = await Worker.start();
});

after(() => worker.stop());

const statusAndCode = (reply: Reply) => [reply.status, reply.json.code];

/** An execution with these scores among its events. */
function scored(scores: object[], at = NOW): Event[] {
  const [start, model, tool, end] = eventsOf({ at, user: "ann" }) as [Event, Event, Event, Event];
  const events = scores.map((score, i) => ({ t: "score", n: 3 + i, ...score }));
  return [start, model, tool, ...events, { ...end, n: 3 + scores.length, last: 3 + scores.length }];
}

async function send(project: Project, events: Event[], header = {}): Promise<string> {
  const id = executionId();
  const reply = await worker.api.sendBatch(seal(session(project.secret, project.id, project.kid), body(id, events, header)));
  assert.equal(reply.json.code, "stored", JSON.stringify(reply.json));
  return id;
}

async function ingestKey(project: Project): Promise<Api> {
  const made = await worker.api.withKey(project.adminKey).request("POST", "/v1/project/keys", '{"role":"ingest","name":"judge"}');
  return worker.api.withKey(made.json.key);
}

const add = (api: Api, id: string, score: object) => api.request("POST", `/v1/executions/${id}/scores`, JSON.stringify(score));
const count = async (table: string, project: Project, where = "1") =>
  (await (await worker.database()).prepare(`SELECT count(*) AS n FROM ${table} WHERE project_id = ?1 AND ${where}`).bind(project.id).first<{ n: number }>())!.n;

describe("of sessions", () => {
  test("are shown with their execution, and stored once whatever comes again", async () => {
    const project = await worker.createProject("prj_of_sessions");
    const viewer = worker.api.withKey(project.viewerKey);
    const id = executionId();
    const scores = [
      { name: "helpful", value: true, step: "s1", comment: "it was", source: "ann" }, { name: "stars", value: 4.5 }, { name: "mood", value: "happy" },
      { name: "stars", value: { of: 5 } },
    ];
    const batch = body(id, scored(scores), { w: "page" });
    const sender = session(project.secret, project.id, project.kid);
    for (const code of ["stored", "duplicate", "duplicate"]) assert.equal((await worker.api.sendBatch(seal(sender, batch))).json.code, code);
    const { execution } = (await viewer.get(`/v1/executions/${id}`)).json;
    const shown = execution.scores.map(({ received_at, ...score }: any) => score).sort((a: any, b: any) => (a.id < b.id ? -1 : 1));
    assert.deepEqual(shown, [
      { id: "page.3", name: "helpful", value: true, step: "s1", comment: "it was", source: "ann", author: "session" },
      { id: "page.4", name: "stars", value: 4.5, step: null, comment: null, source: null, author: "session" },
      { id: "page.5", name: "mood", value: "happy", step: null, comment: null, source: null, author: "session" },
    ]);
    assert.equal(execution.more_scores, false);
    const verified = async () => (await viewer.get(`/v1/executions/${id}/verify`)).json;
    assert.deepEqual([(await verified()).verdict, (await verified()).summary], ["verified", "verified"]);
    const database = await worker.database();
    await database.prepare("UPDATE scores SET number = 5 WHERE execution_id = ?1 AND id = 'page.4'").bind(id).run();
    assert.deepEqual([(await verified()).verdict, (await verified()).summary], ["tampered", "tampered"]);
    await database.prepare("UPDATE scores SET number = 4.5 WHERE execution_id = ?1 AND id = 'page.4'").bind(id).run();
    assert.equal((await verified()).summary, "verified");
    await database.prepare("DELETE FROM scores WHERE execution_id = ?1 AND id = 'page.5'").bind(id).run();
    assert.equal((await verified()).summary, "tampered");
  });

  test("of one batch become 64 rows at most, and cost none where there are none", async () => {
    const project = await worker.createProject("prj_many");
    const id = await send(project, scored(Array.from({ length: 80 }, (_, value) => ({ name: "each", value }))));
    assert.equal(await count("scores", project), 64);
    assert.equal((await worker.api.withKey(project.viewerKey).get(`/v1/executions/${id}/verify`)).json.summary, "verified");
  });

  test("are found where their execution is, when its start comes late", async () => {
    const project = await worker.createProject("prj_late");
    const id = executionId();
    const [start, ...rest] = eventsOf({ at: NOW - 5 * HOUR }) as [Event, ...Event[]];
    const pieces = [[start], [{ t: "score", n: 1, name: "late", value: 1 }, { ...rest[0]!, n: 2, at: NOW }]];
    const sender = session(project.secret, project.id, project.kid);
    for (const bytes of chain(id, pieces).reverse()) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
    const found = await worker.api.withKey(project.viewerKey).all(`/v1/executions?score=late&from=${NOW - 6 * HOUR}&to=${NOW - 4 * HOUR}`, "executions");
    assert.deepEqual(found.map(({ id }) => id), [id]);
    assert.equal(await count("execution_facets", project, "facet = 'score'"), 1);
  });
});

describe("of keys", () => {
  test("are added once by their id; another content conflicts", async () => {
    const project = await worker.createProject("prj_of_keys");
    const judge = await ingestKey(project);
    const admin = worker.api.withKey(project.adminKey);
    const id = await send(project, scored([]));
    const score = { id: "eval-1", name: "correct", value: 0.75, comment: "one of four", step: "s1", source: "judge 2" };
    const first = await add(judge, id, score);
    const { author, received_at, ...shown } = first.json.score;
    assert.deepEqual([first.status, first.json.duplicate, shown], [200, false, score]);
    assert.match(author, /^key_/);
    assert.deepEqual([(await add(judge, id, score)).json.duplicate, (await add(admin, id, score)).json.score.received_at], [true, received_at]);
    for (const other of [{ value: 0.8 }, { comment: "none" }, { name: "wrong" }, { value: "0.75" }]) {
      assert.deepEqual(statusAndCode(await add(judge, id, { ...score, ...other })), [409, "score_conflict"]);
    }
    assert.equal((await add(admin, id, { id: "eval-2", name: "correct", value: false })).json.score.value, false);
    assert.deepEqual((await admin.get(`/v1/executions/${id}`)).json.execution.scores.map(({ id }: any) => id).sort(), ["eval-1", "eval-2"]);
    assert.equal((await admin.get(`/v1/executions/${id}/verify`)).json.summary, "verified");
    const { entries } = (await admin.get(`/v1/audit?action=score.add&target=${id}`)).json;
    assert.ok(entries.length >= 2 && !JSON.stringify(entries).includes("one of four"));
  });

  test("need a key that writes, an execution that is there, and content that holds", async () => {
    const [project, other] = [await worker.createProject("prj_needs"), await worker.createProject("prj_needs_too")];
    const admin = worker.api.withKey(project.adminKey);
    const id = await send(project, scored([]));
    const score = { id: "a", name: "n", value: 1 };
    assert.deepEqual(statusAndCode(await add(worker.api.withKey(project.viewerKey), id, score)), [403, "role_insufficient"]);
    assert.deepEqual(statusAndCode(await add(await ingestKey(other), id, score)), [404, "execution_not_found"]);
    assert.deepEqual(statusAndCode(await add(admin, executionId(), score)), [404, "execution_not_found"]);
    const wrong: [object, string | undefined][] = [
      [{ ...score, id: "a.b" }, "id"], [{ ...score, name: "" }, "name"], [{ ...score, value: 1e300 }, "value"], [{ ...score, value: null }, undefined],
      [{ ...score, comment: "x".repeat(5_000) }, "comment"], [{ name: "n", value: 1 }, undefined], [{ ...score, weight: 2 }, undefined],
    ];
    for (const [wanted, field] of wrong) {
      const reply = await add(admin, id, wanted);
      assert.deepEqual([...statusAndCode(reply), reply.json.field], [400, "request_malformed", field], JSON.stringify(wanted).slice(0, 80));
    }
    await admin.request("PATCH", "/v1/project", '{"status":"paused"}');
    assert.deepEqual(statusAndCode(await add(admin, id, score)), [403, "project_paused"]);
    await admin.request("PATCH", "/v1/project", '{"status":"active"}');
    await admin.request("DELETE", `/v1/executions/${id}`);
    assert.deepEqual(statusAndCode(await add(admin, id, score)), [410, "execution_deleted"]);
  });

  test("are a thousand for one execution at most", async () => {
    const project = await worker.createProject("prj_full");
    const admin = worker.api.withKey(project.adminKey);
    const id = await send(project, scored([]));
    await add(admin, id, { id: "first", name: "n", value: 1 });
    await (await worker.database()).prepare(
      "INSERT INTO scores SELECT project_id, execution_id, 'x' || c.value, name, kind, number, text, step, comment, source, author, received_at, labels, comment_text FROM scores, "
      + "(WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < 999) SELECT value FROM c) c WHERE project_id = ?1",
    ).bind(project.id).run();
    assert.deepEqual(statusAndCode(await add(admin, id, { id: "last", name: "n", value: 1 })), [409, "list_full"]);
    assert.equal((await add(admin, id, { id: "first", name: "n", value: 1 })).json.duplicate, true);
    const { execution } = (await admin.get(`/v1/executions/${id}`)).json;
    assert.deepEqual([execution.scores.length, execution.more_scores], [200, true]);
  });
});

describe("in lists and statistics", () => {
  let project: Project;
  let viewer: Api;
  let ids: string[];
  const values = [0, 0.25, 0.5, 0.75, 1, true, false, "good", "bad", "good"];

  before(async () => {
    project = await worker.createProject("prj_sums");
    viewer = worker.api.withKey(project.viewerKey);
    ids = [];
    for (const [i, value] of values.entries()) {
      const name = typeof value === "number" ? "quality" : typeof value === "boolean" ? "passed" : "mood";
      ids.push(await send(project, scored([{ name, value }], NOW - i * HOUR)));
    }
    // One that has two: neither is in the range, though they surround it.
    ids.push(await send(project, scored([{ name: "quality", value: 0.1 }, { name: "quality", value: 0.9 }], NOW - 20 * HOUR)));
  });

  const found = async (query: string) => (await viewer.all(`/v1/executions?${query}&limit=3`, "executions")).map(({ id }) => ids.indexOf(id));

  for (const [query, expected] of [
    ["score=quality", [0, 1, 2, 3, 4, 10]], ["score=quality&min_score=0.5", [2, 3, 4, 10]], ["score=quality&min_score=0.3&max_score=0.6", [2]],
    ["score=passed&min_score=1", [5]], ["score=passed&score_value=false", [6]], ["score=mood&score_value=good", [7, 9]], ["score=mood&min_score=0", []],
    ["score=mood&user=ann", [7, 8, 9]], ["score=unheard-of", []], ["score=quality&max_score=-1", []], ["score=quality&min_score=0.5&sort=duration", [2, 3, 4, 10]],
  ] as [string, number[]][]) {
    test(query, async () => assert.deepEqual((await found(query)).sort((a, b) => a - b), expected));
  }

  test("steps and facets are of scored executions too", async () => {
    assert.equal((await viewer.all("/v1/steps?score=passed", "steps")).length, 4);
    const { facets } = (await viewer.get("/v1/facets")).json;
    assert.deepEqual(facets.score.values.map(({ value, executions }: any) => [value, executions]), [["quality", 6], ["mood", 3], ["passed", 2]]);
  });

  test("sums by name, by value and by time", async () => {
    const { json } = await viewer.get(`/v1/stats?scores=true&bucket=hour&from=${NOW - 30 * HOUR}`);
    assert.equal(json.scores_complete, true);
    const [quality, passed, mood] = ["quality", "passed", "mood"].map((name) => json.scores.find((score: any) => score.name === name));
    assert.deepEqual([quality.count, quality.mean, quality.min, quality.max], [7, 0.5, 0, 1]);
    assert.deepEqual(quality.distribution.map(({ from, count }: any) => [Math.round(from * 10), count]), [[0, 1], [1, 1], [2, 1], [5, 1], [7, 1], [9, 2]]);
    assert.deepEqual([passed.count, passed.mean, passed.values.map(({ value, count }: any) => [value, count]).sort()], [2, 0.5, [["false", 1], ["true", 1]]]);
    assert.deepEqual([mood.mean, mood.min, mood.values], [null, null, [{ value: "good", count: 2 }, { value: "bad", count: 1 }]]);
    assert.deepEqual(quality.buckets.map(({ count }: any) => count).sort(), [1, 1, 1, 1, 1, 2]);
    assert.equal((await viewer.get("/v1/stats")).json.scores, undefined);
    const narrow = (await viewer.get(`/v1/stats?scores=true&score=mood&from=${NOW - 30 * HOUR}`)).json;
    assert.deepEqual([narrow.total.executions, narrow.scores.map(({ name }: any) => name)], [3, ["mood"]]);
  });

  test("bad parameters are named", async () => {
    for (const [query, code, field] of [
      ["min_score=1", "parameter_invalid", "min_score"], ["score=q&min_score=high", "parameter_invalid", "min_score"], ["score=", "parameter_invalid", "score"],
      ["score=q&max_score=1e400", "parameter_invalid", "max_score"], ["score_value=good", "parameter_invalid", "score_value"],
    ]) {
      const { status, json } = await viewer.get(`/v1/executions?${query}`);
      assert.deepEqual([status, json.code, json.field], [400, code, field], query);
    }
    assert.equal((await viewer.get("/v1/stats?scores=yes")).json.field, "scores");
  });
});

test("scores go with their execution, also by retention", async () => {
  const project = await worker.createProject("prj_leaves", { retention_days: 7 });
  const admin = worker.api.withKey(project.adminKey);
  const [one, two] = [await send(project, scored([{ name: "a", value: 1 }])), await send(project, scored([{ name: "a", value: 1 }]))];
  for (const id of [one, two]) assert.equal((await add(admin, id, { id: "k", name: "b", value: 1 })).status, 200);
  assert.deepEqual([await count("scores", project), await count("execution_facets", project, "facet = 'score'")], [4, 4]);
  await admin.request("DELETE", `/v1/executions/${one}`);
  assert.deepEqual([await count("scores", project), await count("execution_facets", project, "facet = 'score'")], [2, 2]);
  await (await worker.database()).prepare("UPDATE executions SET started_at = 1, updated_at = 1 WHERE id = ?1").bind(two).run();
  await worker.runChores();
  assert.deepEqual([await count("scores", project), await count("execution_facets", project)], [0, 0]);
});
