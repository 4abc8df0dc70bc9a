// What must not leave the page, looked for on the wire. Secrets are put together here, so that no scanner takes them for real.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { Recorder } from "../../sdk-wasm/pkg/node.js";
import { rules } from "../../sdk-wasm/pkg/redaction.js";
import { airlineRunsAbsent, readAirlineRuns } from "../fixtures/airline-runs.ts";
import { Collector, session, type Event } from "./collector.ts";

type Options = Parameters<typeof rules>[0];
type Run = ReturnType<Recorder["startExecution"]>;

/** A token of a source host, which stands for all secrets. */
const CANARY = `ghp_${"q7Zr2XkW9vTm4LpB8nYc5HdJ3sGf6QgK1wRt"}`;
const EMAIL = "ann@example.com";
const CARD = "4242 4242 4242 4242";

let collector: Collector;
before(async () => {
  collector = await Collector.start();
});
afterEach(() => collector.reset());
after(() => collector.stop());

const start = (redaction?: Options) => Recorder.start({ endpoint: collector.url, session: session(), ...(redaction && { redaction: rules(redaction) }) });

/** Records one execution; gives its events as they arrived, and the text of all that did. */
async function recorded(redaction: Options | undefined, record: (run: Run) => unknown, dropped: Record<string, number> = {}): Promise<{ events: Event[]; wire: string }> {
  const recorder = await start(redaction);
  const run = recorder.startExecution({ name: "test" });
  await record(run);
  const counts = await recorder.flush();
  const count = Object.values(dropped).reduce((sum, each) => sum + each, 0);
  const events = collector.events(run.id);
  assert.deepEqual(counts, { stored: events.length - count, rejected: 0, dropped: count, pending: 0, reasons: dropped });
  await recorder.close();
  return { events, wire: collector.received.map((batch) => batch.body).join("") };
}

const only = (events: Event[], type: string): Event => {
  const found = events.filter((event) => event.t === type);
  assert.equal(found.length, 1);
  return found[0]!;
};

/** Records `CANARY` wherever a host can put text. */
function recordEverywhere(recorder: Recorder): Run {
  const text = `a ${CANARY} b`;
  const run = recorder.startExecution({
    name: text, agent: text, pipeline: text, user: text, session: text, environment: text, release: text, tags: [text, CANARY],
    metadata: { [text]: 1, deep: [{ [CANARY]: text }], nested: JSON.stringify({ text: `\n${CANARY}` }) }, input: CANARY,
  });
  const error = Object.assign(new Error(text), { name: text });
  const result = { output: { text }, reasoning: text, tool: { name: text, call_id: CANARY }, model: text, provider: text, metadata: { [CANARY]: CANARY } };
  run.recordStep({ kind: "llm", id: CANARY, name: text, input: [{ role: "user", content: text }, { role: "tool", tool_call_id: CANARY, content: CANARY }], error, parent: CANARY, ...result });
  const step = run.startStep({ kind: "tool", name: text, input: new Map([[CANARY, text]]), metadata: { text } });
  step.startStep({ kind: "tool", name: "inner", input: { messages: [{ role: "user", content: text }] } }).fail({ thrown: CANARY }, result);
  step.cancel(text);
  run.log({ text }, { level: CANARY, step: CANARY });
  run.log(text);
  run.score({ name: text, value: text, comment: text, source: text, step: CANARY });
  void run.step({ kind: "chain", name: "throws" }, () => Promise.reject(text)).catch(() => {});
  return run;
}

for (const end of ["complete", "fail", "cancel"] as const) {
  test(`a secret reaches the wire from no field, and the events are stored all the same (${end})`, async () => {
    const recorder = await start();
    const run = recordEverywhere(recorder);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (end === "complete") run.complete({ output: `${CANARY} ${EMAIL}` });
    else run[end](CANARY as never);
    const { dropped, rejected } = await recorder.flush();
    assert.deepEqual([dropped, rejected], [0, 0]);
    const wire = collector.received.map((batch) => batch.body).join("");
    assert.equal(wire.includes(CANARY.slice(4)), false, "the secret is on the wire");
    assert.equal(JSON.stringify(run.getSnapshot()).includes(CANARY.slice(4)), false, "the secret is in the snapshot");
    const [mark, ...others] = new Set(wire.match(/(?<=api_key )[0-9a-f]{8}|(?<="api_key","mark":")[0-9a-f]{8}/g));
    assert.match(mark!, /^[0-9a-f]{8}$/);
    assert.deepEqual(others, [], "one value, one mark");
    await recorder.close();
  });
}

test("a whole value becomes a marker, a part of it a text, and structure stays text", async () => {
  const { events } = await recorded(undefined, (run) => {
    run.recordStep({ kind: "llm", name: EMAIL, input: [EMAIL, `to ${EMAIL}`], output: { password: "x", n: Number(CARD.replaceAll(" ", "")) }, metadata: { card: CARD } });
  });
  const step = only(events, "step");
  const { mark } = step["input"][0].$redacted;
  assert.match(mark, /^[0-9a-f]{8}$/);
  assert.deepEqual(step["input"], [{ $redacted: { kind: "email", mark } }, `to [redacted email ${mark}]`]);
  assert.equal(step["name"], `[redacted email ${mark}]`);
  assert.deepEqual([step["output"].password.$redacted.kind, step["output"].n.$redacted.kind], ["secret", "card"]);
  assert.match(step["metadata"].card, /^\[redacted card [0-9a-f]{8}\]$/);
});

const without = (text: string) => text.replace(/(\[redacted \w+ )[0-9a-f]{8}/g, "$1").replace(/("mark":")[0-9a-f]{8}/g, "$1");
const inputs = (run: Run) => run.getSnapshot().steps.map(({ input }) => JSON.stringify(input));

/** The inputs recorded of `values`, one after the other in one execution, held to what is recorded of each in an execution of its own. */
async function recordedAsAlone(values: unknown[], more: object = {}): Promise<string[]> {
  const recorder = await start();
  const record = (run: Run, input: unknown) => run.recordStep({ kind: "llm", name: "ask", input, ...more });
  const together = recorder.startExecution({ name: "together" });
  for (const value of values) record(together, value);
  const found = inputs(together);
  assert.equal(found.length, values.length);
  for (const [index, value] of values.entries()) {
    const alone = recorder.startExecution({ name: "alone" });
    record(alone, value);
    assert.equal(without(found[index]!), without(inputs(alone)[0]!), `value ${index}`);
    alone.cancel();
  }
  await recorder.close();
  return found;
}

test("a list that grows, is changed or takes turns with another is redacted as each would be by itself", async () => {
  const pool = [
    { role: "user", content: `write to ${EMAIL}` }, { role: "tool", content: CANARY }, { role: "user", content: CARD }, { role: "user", content: 'a "quoted" ],[ end' },
    { role: "assistant", content: "", tool_calls: [{ arguments: JSON.stringify({ password: "hunter2 and more", text: "\\" }) }] }, { role: "user", content: "plain, }, {" },
    "authorization: Bearer abcdefghijkl0123456789", `token=${CANARY}`, 12, 4242424242424242, 1.5, null, true, [EMAIL, [CARD]], "", [], {}, "bob", "@example.com", "password", ":", "x",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg", "-----END PRIVATE KEY-----", { authorization: "Basic", content: "dXNlcjpwYXNzd29yZDEyMw==" },
  ];
  // A small generator of random numbers, so that a failure can be seen again.
  let state = 7;
  const random = (below: number) => ((state = (state * 1_103_515_245 + 12_345) % 2 ** 31) >> 8) % below;
  const lists: unknown[][] = [];
  const [one, other]: [unknown[], unknown[]] = [[], []];
  for (let step = 0; step < 200; step++) {
    const list = random(5) ? one : other;
    for (let added = random(4); added > 0; added--) list.push(pool[random(pool.length)]);
    if (random(10) === 0) list.splice(random(list.length + 1), 1);
    if (random(12) === 0) list.splice(0, list.length, ...(random(2) ? [pool[0]] : []));
    lists.push([...list]);
  }
  // Every other history is a request's.
  const found = await recordedAsAlone(lists.map((list) => (list[0] === pool[0] ? { model: "m", messages: list } : list)), { output: EMAIL });
  for (const secret of [EMAIL, CANARY.slice(4), CARD, "hunter2", "0123456789", "MIIEvQ"]) assert.equal(found.join("").includes(secret), false, secret);
  assert.equal(new Set(found.join("").match(/(?<=email )[0-9a-f]{8}|(?<="email","mark":")[0-9a-f]{8}/g)).size, 1, "one address, one mark");
});

describe("a long history is not searched again for what it began with", () => {
  const NAMED = "hunter2 and more";
  /** What is long enough for that to be done, and what must not be found in any output. */
  const LONG = { role: "system", content: "Be brief. ".repeat(300) };
  const GONE = [EMAIL, "bob@example.org", CANARY.slice(4), CARD, CARD.replaceAll(" ", ""), "hunter2", "MIIEvQ", "dXNlcjpwYXNz", "p4ssw0rd", "eyJhbGciOi", "AAq7Zr2XkW9"];

  async function assertAsAlone(values: unknown[], mayRemain: string[] = []): Promise<string[]> {
    const found = await recordedAsAlone(values);
    for (const secret of GONE) if (!mayRemain.includes(secret)) assert.equal(found.join("").includes(secret), false, secret);
    return found;
  }

  const SECRETS = [
    EMAIL, CANARY, CARD, `Bearer abcdefghijkl0123456789`, "Basic dXNlcjpwYXNzd29yZDEyMw==", "postgres://ann:p4ssw0rd@db.example/x", `password="${NAMED}"`, `token=${CANARY}`,
    `eyJhbGciOiJIUzI1NiJ9.${"eyJzdWIiOiIx".repeat(3)}.${"q7Zr2XkW9v".repeat(4)}`, `5938201746:AAq7Zr2XkW9vTm4LpB8nYc5HdJ3sGf6QgK1wR`,
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----", JSON.stringify({ password: NAMED, to: EMAIL }), "Cookie: a=hunter2; b=1",
  ];
  const AROUND: ((secret: string) => unknown)[] = [
    (text) => text, (text) => ({ role: "user", content: text }), (text) => ({ [text]: 1 }), (text) => [text], (text) => ({ content: [{ text: `\\"${text}\\` }] }),
  ];

  for (const [shape, toInput] of Object.entries({ "a list": (list: unknown[]) => list, "a request": (list: unknown[]) => ({ model: "m", messages: list }), "an object": (list: unknown[]) => Object.fromEntries(list.map((each, at) => [`m${at}`, each])) })) {
    test(`${shape}: whatever is appended`, async () => {
      const list: unknown[] = [LONG];
      const values: unknown[] = [];
      for (const secret of SECRETS) {
        for (const around of AROUND) {
          list.push(around(secret));
          values.push(toInput([...list]));
        }
      }
      await assertAsAlone(values);
    });

    test(`${shape}: a secret in two halves is searched for as if both had come at once`, async () => {
      const values: unknown[] = [];
      for (const secret of SECRETS) {
        for (const at of [1, Math.floor(secret.length / 3), Math.floor(secret.length / 2), secret.length - 1]) {
          const halves = [LONG, secret.slice(0, at), secret.slice(at)];
          values.push(toInput(halves.slice(0, 2)), toInput(halves), toInput([...halves, "end"]));
        }
      }
      // What is no secret in an element by itself is none in two: halves stay, as they do where they come at once.
      await assertAsAlone(values, GONE);
    });
  }

  test("names and their values, numbers that grow, and what only looks like an end", async () => {
    const long = LONG.content;
    await assertAsAlone([
      [long, "password"], [long, "password", ":", "plain"], [long, "password:"], [long, "password:", NAMED.toUpperCase()], [long, 'password="'], [long, 'password="', "x"],
      [long, "authorization"], [long, "authorization", "Basic"], [long, { authorization: "Basic" }], [long, { authorization: "Basic" }, { x: "y" }],
      [long, 4242], [long, 4242424242424242], [long, 42424242424242], [long, 4242, 4242, 4242, 4242], [long, 1], [long, 1.5], [long, 1e30], [long, -1],
      [long, "a]"], [long, "a]}"], [long, 'a"]', EMAIL], [long, "a],", EMAIL], [long, "]"], [long, "}"], [long, []], [long, [], EMAIL], [long, {}], [long, {}, EMAIL],
      { a: long, b: [1] }, { a: long, b: [1], password: NAMED }, { a: long, b: [1, EMAIL], password: NAMED }, { a: long, password: [1] }, { a: long, password: [1], c: 1 }, { a: long, password: 12 },
      { a: long, password: 123 }, { a: long, b: { password: NAMED } }, { a: long, b: { password: NAMED, c: EMAIL } }, { a: long, b: { password: NAMED, c: EMAIL }, d: CARD },
      [[long, { b: [EMAIL] }]], [[long, { b: [EMAIL, CARD] }]], [[long, { b: [EMAIL, CARD] }], CANARY],
      long, `${long} ${EMAIL}`, `${long} ${EMAIL},${CARD}`, `${long}]`, `${long}],"${EMAIL}"]`, JSON.stringify([long]), JSON.stringify([long, EMAIL]), JSON.stringify([long, EMAIL, { password: NAMED }]),
      new Map([[long, 1]]), [long, 7n], [long, () => {}], [long, undefined, EMAIL], [long, { toJSON: () => EMAIL }], null, true, 12, "", [], {},
    ]);
  });

  test("two histories that take turns, and one that is cut and goes on", async () => {
    const [one, other]: [unknown[], unknown[]] = [[LONG], [{ ...LONG, role: "user" }]];
    const values: unknown[] = [];
    for (const [index, secret] of SECRETS.entries()) {
      for (const list of [one, other]) {
        if (index % 5 === 4) list.splice(1, 2);
        list.push({ role: "user", content: secret }, { password: NAMED });
        values.push([...list], { messages: [...list] });
      }
    }
    await assertAsAlone(values);
  });

  test("a history with more secrets than there are marks", async () => {
    const addresses = Array.from({ length: 10_500 }, (_, index) => ({ to: `u${index}@example.com` }));
    const [first, second] = await assertAsAlone([[LONG.content, ...addresses], [LONG.content, ...addresses, ...addresses.slice(0, 500), EMAIL]]);
    assert.equal(/u\d+@/.test(first! + second!), false);
  });

  test("unless the host has rules, which see all of it each time", async () => {
    const recorder = await start({ allow: ["input[1]"], deny: ["input[*].ssn"], hook: (event) => {
      if (event.type === "step") (event["input"] as unknown[]).push({ seen: (event["input"] as unknown[]).length, to: EMAIL });
    } });
    const run = recorder.startExecution({ name: "ruled" });
    const list: unknown[] = [LONG, CANARY, { ssn: "1" }];
    for (let step = 0; step < 3; step++) {
      list.push({ to: `${step}${EMAIL}` });
      run.recordStep({ kind: "llm", name: "ask", input: [...list] });
    }
    for (const [step, { input }] of run.getSnapshot().steps.entries()) {
      const [, allowed, denied, ...rest] = input as any[];
      assert.equal(allowed, CANARY);
      assert.equal(denied.ssn.$redacted.kind, "path");
      assert.deepEqual([rest.length, rest.at(-1).seen], [step + 2, step + 4]);
      assert.ok(rest.every(({ to }) => to.$redacted.kind === "email"));
    }
    await recorder.close();
  });
});

test("marks differ between executions", async () => {
  const marks = new Set();
  for (let run = 0; run < 3; run++) {
    const { events } = await recorded(undefined, (run) => run.log(EMAIL));
    marks.add(only(events, "log")["body"].$redacted.mark);
    collector.reset();
  }
  assert.equal(marks.size, 3);
});

test("kinds are turned off and on", async () => {
  const text = `${EMAIL}, ${CARD}, +1 415 555 2671, 10.1.2.3, 2001:db8::1`;
  const { events } = await recorded({ kinds: { email: false, phone: true, ip: true } }, (run) => run.log(text));
  const body: string = only(events, "log")["body"];
  assert.equal(body.replace(/ [0-9a-f]{8}\]/g, "]"), `${EMAIL}, [redacted card], [redacted phone], [redacted ip], [redacted ip]`);
  const plain = await recorded({ kinds: { email: false, card: false } }, (run) => run.log(text));
  assert.equal(only(plain.events.slice(-1), "log")["body"], text);
});

test("what a rule denies is gone, what one allows is not looked at, and denial wins", async () => {
  const paths = { deny: ["input.user.name", "$.input.messages[*].content", "metadata.*", "**.ssn", "tags[1]"], allow: ["output", "input.free[0].**"] };
  const { events } = await recorded(paths, (run) => {
    run.recordStep({
      kind: "llm", name: "x", input: { user: { name: "Ann", age: 7 }, messages: [{ role: "user", content: [1, "two"] }], free: [{ password: EMAIL }, EMAIL], "a.ssn": 1, ssn: 2 },
      output: { email: EMAIL, ssn: "1", password: "x", deep: [CANARY] }, metadata: { a: 1, b: { c: 2 } }, ...{ tags: ["a", "b"] },
    });
  });
  const denied = JSON.parse(JSON.stringify(events.filter(({ t }) => t === "step" || t === "msg"), (_, value) => (value?.$redacted ? value.$redacted.kind : value)));
  const [message, step] = denied;
  assert.deepEqual(message.v, { role: "user", content: "path" });
  assert.deepEqual(step.input, { user: { name: "path", age: 7 }, messages: { $msgs: [[0, 1]] }, free: [{ password: EMAIL }, "email"], "a.ssn": 1, ssn: "path" });
  assert.deepEqual(step.output, { email: EMAIL, ssn: "path", password: "x", deep: [CANARY] });
  assert.deepEqual(step.metadata, { a: "path", b: "path" });
  assert.match(step.tags[1], /^\[redacted path [0-9a-f]{8}\]$/);
  assert.equal(step.tags[0], "a");
});

test("a recorded key cannot pose as the host's permission", async () => {
  const { wire } = await recorded({ allow: ["metadata.free"] }, (run) => {
    run.log({ $allow: CANARY, "metadata.free": CANARY });
    run.log({ a: { $allow: { $allow: EMAIL } } });
  });
  assert.equal(wire.includes(CANARY.slice(4)) || wire.includes(EMAIL), false);
});

test("rules that cannot be read are refused, and so is what is none", async () => {
  for (const [redaction, message] of [
    [{ deny: ["input..a"] }, /redaction\.deny.*input\.\.a/],
    [{ deny: [""] }, /redaction\.deny/],
    [{ allow: ["input.a*"] }, /redaction\.allow.*a\*/],
    [{ allow: ["input[x]"] }, /redaction\.allow/],
    [{ deny: ["a["] }, /redaction\.deny/],
    [{ deny: [7] }, /redaction\.deny.*7/],
    [{ kinds: { e_mail: true } }, /redaction\.kinds.*e_mail/],
    [{ content: "some" }, /redaction\.content.*some/],
    [{ patterns: [{ kind: "my kind", pattern: /x/ }] }, /redaction\.patterns.*my kind/],
    [{ patterns: [{ kind: "x", pattern: "x" }] }, /redaction\.patterns.*x/],
    [{ hook: "x" }, /redaction\.hook/],
  ] as [Options, RegExp][]) {
    assert.throws(() => rules(redaction), (error) => error instanceof TypeError && message.test(error.message), JSON.stringify(redaction));
  }
  const bare = { deny: ["input.secret"] } as never;
  await assert.rejects(Recorder.start({ endpoint: collector.url, session: session(), redaction: bare }), /TypeError: .*stepseal\/redaction/);
});

test("without content nothing but structure arrives", async () => {
  const secret = "the customer's own words";
  const { events, wire } = await recorded({ content: "none" }, (run) => {
    run.recordStep({
      kind: "llm", name: "plan", input: [{ role: "user", content: secret }], output: secret, reasoning: secret, metadata: { secret }, model: "m", provider: "p",
      usage: { input: 1 }, cost_usd: 0.5, tool: { name: "t", call_id: "c" }, error: new RangeError(secret), ...{ unknown: secret },
    });
    run.log(secret);
    run.score({ name: "s", value: 1, comment: secret });
    run.fail(new Error(secret));
  });
  assert.equal(wire.includes(secret), false);
  const none = { $redacted: { kind: "content" } };
  const { at, id, ...step } = only(events, "step");
  assert.deepEqual(step, {
    t: "step", n: 1, kind: "llm", name: "plan", status: "error", duration_ms: 0, model: "m", provider: "p", usage: { input: 1 }, cost_usd: 0.5, tool: { name: "t", call_id: "c" },
    input: none, output: none, reasoning: none, metadata: none, unknown: none, error: { type: "RangeError", message: "[redacted content]" },
  });
  assert.deepEqual([only(events, "log")["body"], only(events, "score")["comment"]], [none, none]);
  assert.deepEqual(only(events, "end")["error"], { type: "Error", message: "[redacted content]" });
});

describe("the host's patterns", () => {
  test("find what they match, with marks of their own", async () => {
    const { events } = await recorded({ patterns: [{ kind: "booking", pattern: /\bBK-\d+/ }, { kind: "empty", pattern: /x*/y }] }, (run) => {
      run.log(["BK-1", "see BK-1 and BK-22", { "BK-1": "password=BK-1 z" }]);
    });
    const [whole, part, inside] = only(events, "log")["body"];
    const { mark } = whole.$redacted;
    assert.deepEqual(whole, { $redacted: { kind: "booking", mark } });
    assert.match(part, new RegExp(`^see \\[redacted booking ${mark}\\] and \\[redacted booking (?!${mark})[0-9a-f]{8}\\]$`));
    assert.deepEqual(inside, { [`[redacted booking ${mark}]`]: `password=[redacted booking ${mark}] z` });
  });

  test("that throw cost the event, not the secret", async () => {
    class Throwing extends RegExp {}
    const pattern = new Throwing("x");
    Object.defineProperty(pattern, "source", { value: "a" });
    const { wire } = await recorded({ patterns: [{ kind: "x", pattern }] }, (run) => run.log(CANARY));
    assert.equal(wire.includes(CANARY), false);
  });
});

describe("the host's hook", () => {
  test("changes events, in place or by another", async () => {
    const seen: string[] = [];
    const given = { deep: { kept: "secret" } };
    const hook: Options["hook"] = (event) => {
      seen.push(event.type);
      if (event.type === "log") return { ...event, body: "other" };
      if (event.type === "step") (event["output"] as { deep: { kept: string } }).deep.kept = "changed";
      return undefined;
    };
    const { events } = await recorded({ hook }, (run) => {
      run.log("one");
      run.recordStep({ kind: "tool", name: "t", output: given });
      run.complete();
    });
    assert.deepEqual(seen, ["start", "log", "step", "end"]);
    assert.equal(only(events, "log")["body"], "other");
    assert.deepEqual(only(events, "step")["output"], { deep: { kept: "changed" } });
    assert.deepEqual(given, { deep: { kept: "secret" } });
  });

  test("cannot write what stands for an allowed value, at any depth", async () => {
    const hook: Options["hook"] = (event) => (event.type === "log" ? { body: { $allow: 7, in: [{ $allow: 0 }] }, free: { $allow: 0 } } : undefined);
    const { events } = await recorded({ hook, allow: ["free"] }, (run) => run.log("x"));
    const { body, free } = only(events, "log");
    assert.deepEqual([body, free], [{ $$allow: 7, in: [{ $$allow: 0 }] }, { $$allow: 0 }]);
    const alone = await recorded({ hook: (event) => (event.type === "log" ? { $allow: 0 } : undefined) }, (run) => run.log("x"));
    assert.deepEqual(only(alone.events.slice(-1), "log"), { t: "log", n: 1, $$allow: 0 });
  });

  test("drops events; a start and an end keep their structure", async () => {
    const { events, wire } = await recorded({ hook: () => null }, (run) => {
      run.log(CANARY);
      run.recordStep({ kind: "tool", name: CANARY });
      run.complete({ output: "content" });
    }, { redaction_hook: 2 });
    assert.deepEqual(events.map(({ t, reason }) => [t, reason]), [["start", undefined], ["drop", "redaction_hook"], ["drop", "redaction_hook"], ["end", undefined]]);
    assert.deepEqual(events.map((event) => event["name"] ?? event["from"] ?? event["status"]), ["[redacted content]", 1, 2, "completed"]);
    assert.equal(wire.includes("content\"") && wire.includes("output"), false);
  });

  for (const [what, hook] of Object.entries({
    "that throws": () => {
      throw new Error(CANARY);
    },
    "that answers what is no data": () => ({ body: 1n }),
    "that answers later": async () => ({ body: CANARY }),
    "that answers text": () => CANARY,
  }) as [string, Options["hook"]][]) {
    test(`${what} costs the event`, async () => {
      const { events, wire } = await recorded({ hook }, (run) => {
        run.log(CANARY);
        run.complete({ output: CANARY });
      }, { redaction_failed: 1 });
      assert.deepEqual(events.map(({ t }) => t), ["start", "drop", "end"]);
      assert.equal(wire.includes(CANARY.slice(4)), false);
    });
  }

  test("does not see what is dropped again in the snapshot, and what it leaves is redacted", async () => {
    const recorder = await start({ hook: (event) => (event["name"] === "gone" ? null : undefined) });
    const run = recorder.startExecution({ name: EMAIL });
    run.recordStep({ kind: "tool", name: "gone", input: 1 });
    run.recordStep({ kind: "tool", name: "kept", input: EMAIL });
    run.startStep({ kind: "tool", name: "gone" });
    const snapshot = run.getSnapshot();
    assert.deepEqual(snapshot.steps.map(({ name }) => name), ["kept"]);
    assert.match(JSON.stringify([snapshot.name, snapshot.steps[0]!.input]), /^\["\[redacted email [0-9a-f]{8}\]",\{"\$redacted":\{"kind":"email","mark":"[0-9a-f]{8}"\}\}\]$/);
    await recorder.close();
  });
});

test("of real runs e-mail addresses go, and nothing that is none", { skip: airlineRunsAbsent }, async () => {
  const recorder = await start();
  for (const [index, { messages }] of readAirlineRuns().entries()) {
    const run = recorder.startExecution({ name: `run ${index}` });
    for (const message of messages) run.log(message);
    run.complete();
  }
  await recorder.flush();
  const kinds: Record<string, number> = {};
  for (const { body } of collector.received) {
    for (const [, kind] of body.matchAll(/\[redacted (\w+) [0-9a-f]{8}\]|\{"\$redacted":\{"kind":"(\w+)"/g)) kinds[kind ?? "whole"] = (kinds[kind ?? "whole"] ?? 0) + 1;
  }
  // Looked at by hand: 61 addresses are in the text, and all of them are found.
  assert.deepEqual(kinds, { email: 61 });
  await recorder.close();
});
