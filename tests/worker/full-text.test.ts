// Full text: executions by the words they say, where their project wants that; nothing left of what goes.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Api } from "../client/api.ts";
import { body, chain, executionId, seal, session, stepId, type Event } from "../client/batches.ts";
import { record } from "../client/recorded.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const NOW = Date.now();
const HOUR = 3_600_000;

let worker: Worker;

before(async () => {
  worker = await Worker.start();
});

after(() => worker.stop());

const start = (name: string, at = NOW, more: object = {}): Event => ({ t: "start", n: 0, at, name, ...more });
const step = (n: number, more: object, at = NOW): Event => ({ t: "step", n, id: stepId(), kind: "tool", name: "look", at, duration_ms: 1, status: "ok", ...more });

async function send(project: Project, id: string, ...pieces: Event[][]): Promise<string> {
  const sender = session(project.secret, project.id, project.kid);
  for (const piece of chain(id, pieces)) assert.equal((await worker.api.sendBatch(seal(sender, piece))).json.code, "stored");
  return id;
}

async function found(project: Project, text: string, more = ""): Promise<string[]> {
  const reader: Api = worker.api.withKey(project.viewerKey);
  return (await reader.all(`/v1/executions?text=${encodeURIComponent(text)}${more}`, "executions")).map(({ id }) => id);
}

const texts = async (project: Project) =>
  (await (await worker.database()).prepare("SELECT count(*) AS n FROM execution_texts WHERE project_id = ?1").bind(project.id).all()).results[0]!["n"];

for (const search of ["hashed", "plain"]) {
  describe(search, () => {
    let project: Project;

    before(async () => {
      project = await worker.createProject(`prj_${search}`, { search });
    });

    test("by names, errors and the beginnings of inputs and outputs, all words asked for, whatever batch they came in", async () => {
      const one = await send(project, executionId(),
        [start("Book a flight", NOW, { input: { to: "Zürich" } })],
        [step(1, { error: { type: "TimeoutError", message: "the gate is closed" }, status: "error" })],
        [step(2, { output: ["aisle seat", 4711] })]);
      const other = await send(project, executionId(), [start("Book a hotel", NOW - 1), step(1, { input: "a seat by the gate" }, NOW - 1)]);
      for (const [text, expected] of [
        ["flight", [one]], ["BOOK", [one, other]], ["book flight", [one]], ["zürich", [one]], ["timeouterror closed", [one]], ["4711", [one]],
        ["gate seat", [one, other]], ["hotel flight", []], ["fligh", []], ["metadata", []],
      ] as [string, string[]][]) assert.deepEqual(await found(project, text), expected, text);
      assert.deepEqual(await found(project, "book", "&name=Book%20a%20hotel"), [other]);
      assert.deepEqual(await found(project, "book", "&error=true"), [one]);
      assert.deepEqual(await found(project, "book", `&to=${NOW}`), [other]);
      assert.deepEqual(await found(project, "book", `&from=${NOW}`), [one]);
    });

    test("pages give each once, newest first, also of one millisecond and of a rare filter", async () => {
      const many: string[] = [];
      for (let i = 0; i < 23; i++) many.push(await send(project, executionId(), [start("many", NOW - Math.floor(i / 5) * HOUR, { user: i % 7 ? "ann" : "bob" })]));
      for (const limit of [1, 2, 5, 200]) {
        const listed = await found(project, "many", `&limit=${limit}`);
        assert.deepEqual([...listed].sort(), [...many].sort());
        const positions = listed.map((id) => Math.floor(many.indexOf(id) / 5));
        assert.deepEqual(positions, [...positions].sort((a, b) => a - b));
        assert.deepEqual((await found(project, "many", `&user=bob&limit=${limit}`)).sort(), many.filter((_, i) => i % 7 === 0).sort());
      }
    });

    test("an execution that turns out to have begun earlier stands there, also for words that came before", async () => {
      const id = executionId();
      const [begin, end] = chain(id, [[start("late", NOW - 3 * HOUR)], [step(1, { output: "tardy" })]]) as [Buffer, Buffer];
      const sender = session(project.secret, project.id, project.kid);
      await worker.api.sendBatch(seal(sender, end));
      assert.deepEqual(await found(project, "tardy", `&from=${NOW - HOUR}`), [id]);
      await worker.api.sendBatch(seal(sender, begin));
      assert.deepEqual(await found(project, "tardy", `&from=${NOW - HOUR}`), []);
      assert.deepEqual(await found(project, "tardy late"), [id]);
    });

    test("a repeat changes nothing, and what is deleted is not found", async () => {
      const sender = session(project.secret, project.id, project.kid);
      const id = executionId();
      const batch = seal(sender, body(id, [start("fleeting")]));
      await worker.api.sendBatch(batch);
      const before = await texts(project);
      assert.equal((await worker.api.sendBatch(batch)).json.code, "duplicate");
      assert.equal(await texts(project), before);
      assert.equal((await worker.api.withKey(project.adminKey).request("DELETE", `/v1/executions/${id}`)).status, 200);
      assert.deepEqual(await found(project, "fleeting"), []);
      assert.equal(await texts(project), Number(before) - 1);
    });

    test("an execution with more words than are kept is found by as many", async () => {
      const words = Array.from({ length: 3_000 }, (_, i) => `word${i}`);
      const steps = Array.from({ length: 30 }, (_, i) => step(i + 1, { output: words.slice(i * 100, i * 100 + 100).join(" ") }));
      await send(project, executionId(), [start("wordy"), ...steps.slice(0, 15)], steps.slice(15));
      const row = (await (await worker.database()).prepare("SELECT max(json_array_length(tokens)) AS n FROM execution_texts WHERE project_id = ?1").bind(project.id).all()).results[0]!;
      assert.equal(row["n"], 1_000);
    });

    test("as CSV, and not by another project", async () => {
      const id = await send(project, executionId(), [start("tabular")]);
      const csv = await fetch(`${worker.url}/v1/export/executions.csv?text=tabular&fields=id`, { headers: { authorization: `Bearer ${project.viewerKey}` } });
      assert.equal(await csv.text(), `id\r\n"${id}"\r\n`);
      const other = await worker.createProject(`prj_${search}_other`, { search });
      assert.deepEqual(await found(other, "tabular"), []);
    });

    test("the search that is switched off finds nothing, and its words go", async () => {
      const own = await worker.createProject(`prj_${search}_off`, { search });
      await send(own, executionId(), [start("gone")]);
      const admin = worker.api.withKey(own.adminKey);
      assert.equal((await admin.request("PATCH", "/v1/project", '{"search":"off"}')).json.project.search, "off");
      const refused = await admin.get("/v1/executions?text=gone");
      assert.deepEqual([refused.status, refused.json.code, refused.json.field], [400, "parameter_invalid", "text"]);
      await worker.runChores();
      assert.equal(await texts(own), 0);
      assert.equal(await texts(project) > 0, true);
    });
  });
}

test("beginnings are found where words stand plain, and refused where they are hashed", async () => {
  const [plain, hashed] = [await worker.createProject("prj_begin", { search: "plain" }), await worker.createProject("prj_whole", { search: "hashed" })];
  const id = await send(plain, executionId(), [start("Beginning")]);
  assert.deepEqual(await found(plain, "begin*"), [id]);
  assert.deepEqual(await found(plain, "egin*"), []);
  const refused = await worker.api.withKey(hashed.viewerKey).get("/v1/executions?text=begin*");
  assert.deepEqual([refused.status, refused.json.code, refused.json.field], [400, "parameter_invalid", "text"]);
});

test("nothing is indexed and nothing found where nobody asked for it", async () => {
  const project = await worker.createProject("prj_quiet");
  await record(worker.api, project, [{ at: NOW, name: "silent" }]);
  assert.equal(await texts(project), 0);
  const refused = await worker.api.withKey(project.viewerKey).get("/v1/executions?text=silent");
  assert.deepEqual([refused.status, refused.json.code, refused.json.field], [400, "parameter_invalid", "text"]);
});

test("questions that are syntax elsewhere are words or refusals here", async () => {
  const reader = worker.api.withKey((await worker.createProject("prj_hostile", { search: "plain" })).viewerKey);
  for (const [text, status] of [
    ['"', 400], ["*", 400], ["", 400], [" ", 400], ['a" OR "b', 200], ['a"OR"b', 200], ["NEAR(a,b)", 200], ["tokens:a", 200], ["^a", 200], ["a NOT b", 200], ["{a}:b", 200],
    ["a".repeat(5_000), 200], ["a ".repeat(17), 400], ["\u0000a", 200], ["'; DROP TABLE executions; --", 400], ["\ud83d\ude00", 400], ["日本語", 200], ["a\u0301b*", 200],
  ] as [string, number][]) {
    const reply = await reader.get(`/v1/executions?text=${encodeURIComponent(text)}`);
    assert.equal(reply.status, status, `${text.slice(0, 40)}: ${JSON.stringify(reply.json)}`);
  }
  const sorted = await reader.get("/v1/executions?text=a&sort=cost");
  assert.deepEqual([sorted.status, sorted.json.field], [400, "sort"]);
});

test("persons' keys and full text exclude each other, whichever comes second", async () => {
  const both = await worker.api.withKey(worker.operatorKey).request("POST", "/v1/projects", '{"id":"prj_both","name":"both","search":"hashed","subject_keys":true}');
  assert.deepEqual([both.status, both.json.code, both.json.field], [400, "request_malformed", "search"]);
  for (const [id, first, second] of [["prj_keys", { subject_keys: true }, { search: "plain" }], ["prj_words", { search: "plain" }, { subject_keys: true }]] as [string, object, object][]) {
    const project = await worker.createProject(id, first as Record<string, unknown>);
    const reply = await worker.api.withKey(project.adminKey).request("PATCH", "/v1/project", JSON.stringify(second));
    assert.deepEqual([reply.status, reply.json.code, reply.json.field], [400, "request_malformed", "search"]);
  }
});
