// The live feed: everything once and in order, over both transports, by filter, resuming, for as long as the credential.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { body, executionId, seal, session } from "../client/batches.ts";
import { LiveReader } from "../client/live.ts";
import { eventsOf, record, type Recorded } from "../client/recorded.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const NOW = Date.now();

let worker: Worker;
let project: Project;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_live");
});

after(() => worker.stop());

const some = (count: number, more: Partial<Recorded> = {}): Recorded[] => Array.from({ length: count }, () => ({ at: NOW, ...more }));
const idsOf = (messages: any[]) => messages.map(({ execution }) => execution.id);

for (const [transport, open] of [
  ["WebSocket", (query?: string) => LiveReader.socket(worker.url, project.viewerKey, query)],
  ["server-sent events", (query?: string) => LiveReader.events(worker.url, project.viewerKey, query)],
] as [string, (query?: string) => Promise<LiveReader>][]) {
  describe(transport, () => {
    test("executions and steps as they are stored, in order, without their contents", async () => {
      const reader = await open();
      const ids = await record(worker.api, project, some(5));
      const messages = await reader.until(5);
      reader.close();
      assert.deepEqual(idsOf(messages), ids);
      const [first] = messages;
      assert.deepEqual([first.type, first.execution.status, first.execution.name], ["batch", "completed", "book"]);
      assert.deepEqual(first.steps.map(({ name, status }: any) => [name, status]), [["plan", "ok"], ["search", "ok"]]);
      assert.ok(messages.every((message, i) => i === 0 || message.cursor > messages[i - 1].cursor));
    });

    test("only what passes the list's filters", async () => {
      const reader = await open("?user=ann&status=failed&min_tokens=200");
      await record(worker.api, project, [{ at: NOW, user: "ann", status: "completed", tokens: 300 }, { at: NOW, user: "bob", status: "failed", tokens: 300 }]);
      await record(worker.api, project, [{ at: NOW, user: "ann", status: "failed", tokens: 100 }]);
      const [wanted] = await record(worker.api, project, [{ at: NOW, user: "ann", status: "failed", tokens: 200 }]);
      assert.deepEqual(idsOf(await reader.until(1)), [wanted]);
      reader.close();
    });

    test("what came while nobody followed, from the cursor on", async () => {
      const reader = await open();
      await record(worker.api, project, some(1));
      const [{ cursor }] = await reader.until(1) as [any];
      reader.close();
      const missed = await record(worker.api, project, some(3));
      const again = await open(`?cursor=${cursor}`);
      assert.deepEqual(idsOf(await again.until(3)), missed);
      again.close();
    });
  });
}

test("an event source resumes by the last event's id", async () => {
  const reader = await LiveReader.events(worker.url, project.viewerKey);
  await record(worker.api, project, some(1));
  const [{ id }] = await reader.until(1) as [any];
  reader.close();
  const missed = await record(worker.api, project, some(2));
  const again = await LiveReader.events(worker.url, project.viewerKey, "", id);
  assert.deepEqual(idsOf(await again.until(2)), missed);
  again.close();
});

test("a deletion is told to everyone", async () => {
  const [id] = await record(worker.api, project, some(1));
  const reader = await LiveReader.socket(worker.url, project.viewerKey, "?user=nobody");
  assert.equal((await worker.api.withKey(project.adminKey).request("DELETE", `/v1/executions/${id}`)).status, 200);
  const [{ type, execution }] = await reader.until(1, 12_000) as [any];
  reader.close();
  assert.deepEqual([type, execution], ["deletion", { id }]);
});

test("another project's batches are not heard", async () => {
  const other = await worker.createProject("prj_live_other");
  const reader = await LiveReader.socket(worker.url, other.viewerKey);
  await record(worker.api, project, some(2));
  const [own] = await record(worker.api, other, some(1));
  assert.deepEqual(idsOf(await reader.until(1)), [own]);
  reader.close();
});

test("a reader that acknowledges nothing is told that it is slow, and dropped", async () => {
  const slow = await worker.createProject("prj_live_slow", { limits: { bytes_per_s: 1e9, bytes_burst: 1e10, steps_per_s: 1e9, steps_burst: 1e10 }, session_limits: { bytes_per_s: 1e9, bytes_burst: 1e10, steps_per_s: 1e9, steps_burst: 1e10 } });
  await record(worker.api, slow, some(1_002));
  const reader = await LiveReader.socket(worker.url, slow.viewerKey, "?cursor=0", false);
  assert.match(await reader.ended, /^4003 too slow/);
  assert.deepEqual([reader.messages.length, reader.messages.at(-1).type], [1_001, "slow"]);
});

test("a revoked key ends its connections", async () => {
  const admin = worker.api.withKey(project.adminKey);
  const made = (await admin.request("POST", "/v1/project/keys", '{"role":"viewer","name":"watcher"}')).json;
  const [socket, events] = [await LiveReader.socket(worker.url, made.key), await LiveReader.events(worker.url, made.key)];
  const staying = await LiveReader.socket(worker.url, project.viewerKey);
  assert.equal((await admin.request("DELETE", `/v1/project/keys/${made.id}`)).status, 200);
  assert.equal(await socket.ended, "4002 revoked");
  assert.equal(await events.ended, "ended");
  assert.equal(events.messages.at(-1).type, "revoked");
  const [id] = await record(worker.api, project, some(1));
  assert.deepEqual(idsOf(await staying.until(1)), [id]);
  staying.close();
});

test("nobody connects without a credential, from another site or with a parameter that is wrong", async () => {
  await assert.rejects(LiveReader.socket(worker.url, "nonsense"));
  for (const [path, headers, status, code] of [
    ["/v1/live", {}, 401, "unauthenticated"],
    ["/v1/live?limit=3", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_unknown"],
    ["/v1/live?status=done", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_invalid"],
    ["/v1/live?cursor=x", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_invalid"],
    ["/v1/live", { authorization: `Bearer ${project.viewerKey}`, "last-event-id": "x" }, 400, "cursor_invalid"],
    ["/v1/live", { authorization: `Bearer ${project.viewerKey}`, origin: "https://evil.example.com" }, 403, "origin_not_allowed"],
  ] as [string, Record<string, string>, number, string][]) {
    const reply = await worker.api.request("GET", path, undefined, headers);
    assert.deepEqual([reply.status, reply.json.code], [status, code], path);
  }
});

test("messages come within 250 ms of the commit, at the median", async () => {
  const reader = await LiveReader.socket(worker.url, project.viewerKey);
  const sender = session(project.secret, project.id, project.kid);
  const delays: number[] = [];
  for (let i = 0; i < 30; i++) {
    const id = executionId();
    const sent = performance.now();
    await worker.api.sendBatch(seal(sender, body(id, eventsOf({ at: NOW }))));
    const replied = performance.now();
    const message = (await reader.until(i + 1)).at(-1);
    assert.equal(message.execution.id, id);
    delays.push(message.arrived - replied);
    assert.ok(message.arrived > sent);
  }
  reader.close();
  const median = delays.sort((a, b) => a - b)[15]!;
  assert.ok(median < 250, `${median} ms`);
});
