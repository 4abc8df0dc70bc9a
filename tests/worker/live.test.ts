// The live feed: everything once and in order, over both transports, by filter, resuming, for as long as the credential.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { body, chain, executionId, seal, session, stepId, type Event } from "../client/batches.ts";
import { DeafReader, LiveReader, unreadStream } from "../client/live.ts";
import { record, type Recorded } from "../client/recorded.ts";
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

    test("only what has a score, and only what says a word, as the list finds them", async () => {
      const own = await worker.createProject(`prj_live_words_${transport.length}`, { search: "hashed" });
      const follow = (query: string) => LiveReader[transport === "WebSocket" ? "socket" : "events"](worker.url, own.viewerKey, query);
      const [scored, saying] = [await follow("?score=helpful&min_score=0.5"), await follow("?text=refund%20flight&user=ann")];
      const send = async (user: string, input: string, score?: number) => {
        const id = executionId();
        const events: Event[] = [{ t: "start", n: 0, at: NOW, name: "ask", user, input }];
        if (score !== undefined) events.push({ t: "score", n: 1, name: "helpful", value: score });
        events.push({ t: "end", n: events.length, at: NOW + 1, status: "completed", last: events.length });
        const reply = await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), body(id, events)));
        assert.equal(reply.json.code, "stored");
        return id;
      };
      await send("ann", "a flight", 0.25);
      await send("bob", "refund the flight");
      const wanted = await send("ann", "refund my flight, please", 0.5);
      assert.deepEqual([idsOf(await scored.until(1)), idsOf(await saying.until(1))], [[wanted], [wanted]]);
      for (const reader of [scored, saying]) reader.close();
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

test("a filter is as long as it is before an address encodes it", async () => {
  const own = await worker.createProject("prj_live_long", { search: "plain" });
  const cyrillic = (letters: number) => "\u044f".repeat(letters);
  // Near the 1,000 bytes that are taken; words become hexadecimal tokens.
  const words = Array.from({ length: 12 }, () => cyrillic(19)).join(" ");
  const [user, name] = [cyrillic(128), cyrillic(128)];
  const asked = { user, name, text: words };
  assert.equal(Buffer.byteLength(Object.entries(asked).flat().join("")), 991);
  const follow = (query: Record<string, string>) => LiveReader.socket(worker.url, own.viewerKey, `?${new URLSearchParams(query)}`);
  const reader = await follow(asked);
  const send = async (user: string) => {
    const id = executionId();
    const events: Event[] = [{ t: "start", n: 0, at: NOW, name, user, input: words }, { t: "end", n: 1, at: NOW + 1, status: "completed", last: 1 }];
    assert.equal((await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), body(id, events)))).json.code, "stored");
    return id;
  };
  await send("ann");
  const id = await send(user);
  assert.deepEqual(idsOf(await reader.until(1)), [id]);
  reader.close();
  const refused = await worker.api.withKey(own.viewerKey).get(`/v1/live?${new URLSearchParams({ ...asked, agent: "planner" })}`);
  assert.deepEqual([refused.status, refused.json.field], [400, "agent"]);
});

test("steps carry what they cost by the project's prices", async () => {
  const own = await worker.createProject("prj_live_prices");
  const prices = [{ model: "m1", usd_per_million: { input: 2, output: 10 } }];
  const put = await worker.api.withKey(own.adminKey).request("PUT", "/v1/project/prices", JSON.stringify({ expected_version: 0, prices }));
  assert.equal(put.status, 200, JSON.stringify(put.json));
  const reader = await LiveReader.socket(worker.url, own.viewerKey);
  const id = executionId();
  const step: Event = { t: "step", n: 1, id: stepId(), kind: "llm", name: "plan", at: NOW, duration_ms: 1, status: "ok", model: "m1", usage: { input: 1_000, output: 100 } };
  const events: Event[] = [{ t: "start", n: 0, at: NOW, name: "ask" }, step, { t: "end", n: 2, at: NOW, status: "completed", last: 2 }];
  await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), body(id, events)));
  const [{ steps }] = await reader.until(1) as [any];
  assert.deepEqual([steps[0].derived_cost_usd, steps[0].price_version], [0.003, 1]);
  reader.close();
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

describe("slow readers", () => {
  let slow: Project;

  before(async () => {
    const unlimited = { bytes_per_s: 1e9, bytes_burst: 1e10, steps_per_s: 1e9, steps_burst: 1e10 };
    slow = await worker.createProject("prj_live_slow", { limits: unlimited, session_limits: unlimited });
    await record(worker.api, slow, some(1_200));
  });

  test("one that catches up gets everything, however far it has to go, and however late its acknowledgements come", async () => {
    for (const reader of [
      await LiveReader.socket(worker.url, slow.viewerKey, "?cursor=0", 200),
      await LiveReader.events(worker.url, slow.viewerKey, "?cursor=0"),
    ]) {
      const messages = await reader.until(1_199, 30_000);
      assert.equal(new Set(messages.map(({ cursor }) => cursor)).size, 1_199);
      reader.close();
    }
  });

  test("one that acknowledges nothing is sent a thousand messages, told that it is slow, and dropped; others go on", async () => {
    const other = await LiveReader.socket(worker.url, slow.viewerKey);
    const reader = await LiveReader.socket(worker.url, slow.viewerKey, "?cursor=0", null);
    assert.equal(await reader.ended, "4003 slow");
    assert.deepEqual([reader.messages.length, reader.messages.at(-1).type], [1_001, "slow"]);
    const [id] = await record(worker.api, slow, some(1));
    assert.deepEqual(idsOf(await other.until(1)), [id]);
    other.close();
  });

  test("one that does not even close is told once, and others go on", async () => {
    const reader = await DeafReader.connect(worker.url, slow.viewerKey, "/v1/live?cursor=0");
    await reader.until('{"type":"slow"}', 20_000);
    const other = await LiveReader.events(worker.url, slow.viewerKey);
    const [id] = await record(worker.api, slow, some(1));
    assert.deepEqual(idsOf(await other.until(1)), [id]);
    other.close();
    assert.equal(reader.text.split('{"type":"slow"}').length, 2);
    reader.close();
  });

  test("a stream that nobody reads is dropped, with the reason at its end", async () => {
    const stream = await unreadStream(worker.url, slow.viewerKey, "/v1/live");
    const sender = session(slow.secret, slow.id, slow.kid);
    for (let i = 0; i < 150; i++) {
      const steps = Array.from({ length: 400 }, (_, n): Event => ({ t: "step", n: n + 1, id: stepId(), kind: "tool", name: "a step ".repeat(18), at: NOW, duration_ms: 1, status: "ok" }));
      await worker.api.sendBatch(seal(sender, body(executionId(), [{ t: "start", n: 0, at: NOW, name: "long" }, ...steps])));
    }
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    const text = await stream.read();
    assert.match(text.slice(-200), /event: slow\ndata: \{"type":"slow"\}\n\n$/);
    const cursors = [...text.matchAll(/^id: (\d+)$/gm)].map(([, cursor]) => Number(cursor));
    assert.deepEqual(cursors, cursors.map((_, i) => cursors[0]! + i), "in order and without a gap, as far as it goes");
  });
});

test("a log of things that are gone is walked past", async () => {
  const gone = await worker.createProject("prj_live_gone");
  const sender = session(gone.secret, gone.id, gone.kid);
  const id = executionId();
  const batches = chain(id, Array.from({ length: 210 }, (_, n) => [n === 0 ? { t: "start", n, at: NOW, name: "long" } : { t: "log", n, at: NOW, message: "x" }] as Event[]));
  for (const batch of batches) assert.equal((await worker.api.sendBatch(seal(sender, batch))).json.code, "stored");
  const reader = await LiveReader.socket(worker.url, gone.viewerKey, "?cursor=0");
  await reader.until(209);
  assert.equal((await worker.api.withKey(gone.adminKey).request("DELETE", `/v1/executions/${id}`)).status, 200);
  reader.close();
  const again = await LiveReader.socket(worker.url, gone.viewerKey, "?cursor=0");
  const [deletion] = await again.until(1, 15_000) as [any];
  assert.equal(deletion.type, "deletion");
  const [next] = await record(worker.api, gone, some(1));
  assert.deepEqual(idsOf((await again.until(2)).slice(1)), [next]);
  again.close();
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

test("a reader from beyond the log's end keeps nobody, and the feed from nothing", async () => {
  const own = await worker.createProject("prj_live_beyond");
  const made = (await worker.api.withKey(own.adminKey).request("POST", "/v1/project/keys", '{"role":"viewer","name":"watcher"}')).json;
  const [beyond, other] = [await LiveReader.socket(worker.url, own.viewerKey, "?cursor=1000000000"), await LiveReader.socket(worker.url, made.key)];
  const [id] = await record(worker.api, own, some(1));
  assert.deepEqual(idsOf(await other.until(1)), [id]);
  // Whose key was revoked is told by the same alarm that hands out.
  await worker.api.withKey(own.adminKey).request("DELETE", `/v1/project/keys/${made.id}`);
  assert.equal((await other.until(2, 20_000))[1].type, "revoked");
  assert.deepEqual(beyond.messages, []);
  beyond.close();
});

test("nobody connects without a credential, from another site or with a parameter that is wrong", async () => {
  await assert.rejects(LiveReader.socket(worker.url, "nonsense"));
  for (const [path, headers, status, code] of [
    ["/v1/live", {}, 401, "unauthenticated"],
    ["/v1/live?limit=3", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_unknown"],
    ["/v1/live?min_score=1", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_invalid"],
    ["/v1/live?text=word", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_invalid"],
    ["/v1/live?status=done", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_invalid"],
    ["/v1/live?cursor=x", { authorization: `Bearer ${project.viewerKey}` }, 400, "parameter_invalid"],
    ["/v1/live", { authorization: `Bearer ${project.viewerKey}`, "last-event-id": "x" }, 400, "cursor_invalid"],
    ["/v1/live", { authorization: `Bearer ${project.viewerKey}`, origin: "https://evil.example.com" }, 403, "origin_not_allowed"],
  ] as [string, Record<string, string>, number, string][]) {
    const reply = await worker.api.request("GET", path, undefined, headers);
    assert.deepEqual([reply.status, reply.json.code], [status, code], path);
  }
});
