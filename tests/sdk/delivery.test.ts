// What becomes of batches when server, clock, session or host do not play along, in Node.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Recorder } from "../../sdk-wasm/pkg/node.js";
import { Collector, session, type Answer } from "./collector.ts";

const PACKAGE = join(import.meta.dirname, "..", "..", "sdk-wasm", "pkg");

let collector: Collector;
let recorder: Recorder | undefined;
before(async () => {
  collector = await Collector.start();
});
afterEach(async () => {
  await recorder?.close({ timeout_ms: 0 });
  recorder = undefined;
  collector.reset();
});
after(() => collector.stop());

type Options = Partial<Parameters<typeof Recorder.start>[0]>;

async function start(options: Options = {}): Promise<Recorder> {
  recorder = await Recorder.start({ endpoint: collector.url, session: () => session(), ...options });
  return recorder;
}

const problem = (status: number, code: string, more: Partial<Answer> & { fields?: object } = {}): Answer => ({
  status, json: { code, ...more.fields }, ...(more.headers ? { headers: more.headers } : {}),
});

const all = (stored: number) => ({ stored, rejected: 0, dropped: 0, pending: 0, reasons: {} });

/** Records one execution of two events and flushes. */
async function recordOne(recorder: Recorder) {
  const run = recorder.startExecution({ name: "one" });
  run.complete();
  return { run, counts: await recorder.flush() };
}

test("a batch that met 503 is sent again, the same, signed anew", async () => {
  collector.answers = [problem(503, "storage_unavailable"), problem(500, "internal")];
  const { counts } = await recordOne(await start());
  assert.deepEqual(counts, all(2));
  const [first, second, third] = collector.received;
  assert.equal(collector.received.length, 3);
  assert.deepEqual([second!.id, second!.body], [first!.id, first!.body]);
  assert.deepEqual([third!.id, third!.body], [first!.id, first!.body]);
  assert.equal(recorder!.status.last_error, "batch not stored: 500 internal");
});

describe("batches are a chain", () => {
  const digest = SubtleCrypto.prototype.digest;
  const hashes: [when: string, hash: typeof digest][] = [
    ["that are hashed in time", digest],
    ["that are hashed too late", async function (this: SubtleCrypto, ...asked) {
      await pause(20);
      return digest.apply(this, asked);
    }],
    ["that nobody but the core can hash", () => Promise.reject(new Error("no"))],
  ];
  for (const [when, hash] of hashes) {
    test(when, async (t) => {
      const { mock } = t.mock.method(SubtleCrypto.prototype, "digest", hash);
      const recorder = await start({ batch: { max_events: 3 } });
      const runs = [recorder.startExecution({ name: "a" }), recorder.startExecution({ name: "b" })];
      for (let number = 0; number < 60; number++) {
        for (const run of runs) run.log(number);
        if (number % 7 === 0) await pause(5);
      }
      for (const run of runs) run.complete();
      assert.deepEqual(await recorder.flush(), all(124));
      for (const run of runs) assert.equal(collector.events(run.id).length, 62);
      assert.ok(mock.callCount() > 0, "it was asked");
    });
  }
});

test("a reply that is lost after the commit stores nothing twice", async () => {
  collector.answers = [{ status: 200, json: { code: "stored" }, headers: { "content-length": "5000" } }, { status: 200, json: { code: "duplicate", duplicate: true } }];
  const { run, counts } = await recordOne(await start());
  assert.deepEqual(counts, all(2));
  assert.equal(collector.received.length, 2);
  assert.equal(collector.events(run.id).length, 2);
});

describe("429 is waited out as long as it says", () => {
  // A date has whole seconds.
  const inThreeSeconds = () => new Date(Date.now() + 3_000).toUTCString();
  const cases: [string, () => Answer][] = [
    ["Retry-After in seconds", () => problem(429, "rate_limited", { headers: { "retry-after": "2" } })],
    ["Retry-After as a date", () => problem(429, "rate_limited", { headers: { "retry-after": inThreeSeconds() } })],
    ["retry_after_s", () => problem(429, "rate_limited", { fields: { retry_after_s: 2 } })],
    ["stop_until", () => problem(429, "budget_exhausted", { fields: { server_time: 1_000_000, stop_until: 1_002_000 } })],
  ];
  for (const [name, answer] of cases) {
    test(name, async () => {
      collector.answers = [answer];
      const { counts } = await recordOne(await start());
      assert.deepEqual(counts, all(2));
      const [first, second] = collector.received;
      const waited = second!.at - first!.at;
      assert.ok(waited >= 1_900 && waited < 3_700, `${waited} ms`);
    });
  }
});

test("a clock that is off by a day is corrected by the server's, either way", async (t) => {
  for (const off of [86_400_000, -86_400_000]) {
    collector.reset();
    const serverNow = Date.now();
    t.mock.timers.enable({ apis: ["Date"], now: serverNow + off });
    collector.answers = [problem(401, "timestamp_outside_window", { fields: { server_time: serverNow } })];
    const { counts } = await recordOne(await start());
    t.mock.timers.reset();
    assert.deepEqual(counts, all(2));
    const [first, second] = collector.received;
    assert.ok(Math.abs(first!.ts - (serverNow + off) / 1_000) < 3);
    assert.ok(Math.abs(second!.ts - serverNow / 1_000) < 3);
    assert.equal(second!.body, first!.body);
    assert.ok(second!.at - first!.at < 500, "at once");
  }
});

test("a session that is over is replaced and the batch signed under the next", async () => {
  collector.answers = [problem(401, "session_expired")];
  const { counts } = await recordOne(await start());
  assert.deepEqual(counts, all(2));
  const [first, second] = collector.received;
  assert.notEqual(second!.token, first!.token);
  assert.equal(second!.body, first!.body);
});

test("a session is replaced before it ends", async () => {
  let minted = 0;
  const provider = () => {
    minted += 1;
    const now = Math.floor(Date.now() / 1_000);
    return { ...session({ iat: now, exp: now + 3 }), server_time: now * 1_000 };
  };
  const recorder = await start({ session: provider });
  const run = recorder.startExecution({ name: "long" });
  await recorder.flush();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.equal(minted, 2);
  run.complete();
  await recorder.flush();
  assert.notEqual(collector.received[0]!.token, collector.received.at(-1)!.token);
});

test("a provider that fails is asked again and nothing is lost", async () => {
  let asked = 0;
  const provider = () => {
    asked += 1;
    if (asked === 1) throw new Error("backend down");
    if (asked === 2) return { token: "not a token", key: "AAAA", expires_at: 0 };
    if (asked === 3) return undefined as never;
    return session();
  };
  const { counts } = await recordOne(await start({ session: provider }));
  assert.deepEqual(counts, all(2));
  assert.equal(asked, 4);
});

test("sessions come from a URL that is POSTed to", async () => {
  const seen: unknown[] = [];
  collector.other = (request, body) => {
    seen.push([request.method, request.url, body]);
    return { status: 200, json: session() };
  };
  const { counts } = await recordOne(await start({ session: `${collector.url}/my-session` }));
  assert.deepEqual(counts, all(2));
  assert.deepEqual(seen, [["POST", "/my-session", ""]]);
});

test("sessions come from the endpoint by publishable key", async () => {
  const bodies: any[] = [];
  collector.other = (request, body) => {
    assert.deepEqual([request.method, request.url, request.headers["content-type"]], ["POST", "/v1/sessions", "text/plain"]);
    bodies.push(JSON.parse(body));
    return { status: 200, json: { ...session(), subject: "o_x", server_time: Date.now() } };
  };
  const { counts } = await recordOne(await start({ session: { publishableKey: "stepseal_pub_x" } }));
  assert.deepEqual(counts, all(2));
  assert.equal(bodies.length, 1);
  assert.equal(bodies[0].publishable_key, "stepseal_pub_x");
  assert.match(bodies[0].install, /^[A-Za-z0-9_-]{22}$/);
  assert.equal("turnstile" in bodies[0], false);
  await recordOne(await start({ session: { publishableKey: "stepseal_pub_x", turnstile: async () => "solved" } }));
  assert.deepEqual([bodies.length, bodies[1].turnstile], [2, "solved"]);
});

test("a session that is only an object serves until the server refuses it", async () => {
  const recorder = await start({ session: session() });
  assert.deepEqual((await recordOne(recorder)).counts, all(2));
  collector.answers = [problem(401, "session_expired")];
  const { counts } = await recordOne(recorder);
  assert.deepEqual(counts, { stored: 2, rejected: 0, dropped: 0, pending: 2, reasons: {} });
});

test("a batch the server will never take is dropped, counted, and reported by the next", async () => {
  collector.answers = [problem(403, "project_paused")];
  const recorder = await start();
  const run = recorder.startExecution({ name: "refused" });
  assert.deepEqual(await recorder.flush(), { stored: 0, rejected: 0, dropped: 1, pending: 0, reasons: { project_paused: 1 } });
  run.complete();
  assert.deepEqual(await recorder.flush(), { stored: 2, rejected: 0, dropped: 1, pending: 0, reasons: { project_paused: 1 } });
  const [drop, end] = collector.received[1]!.events;
  assert.deepEqual(drop, { t: "drop", n: 1, reason: "project_paused", count: 1, from: 0, to: 0 });
  assert.deepEqual([end!.n, end!["last"]], [2, 2]);
});

test("events that the server rejects are counted with its reasons", async () => {
  const verdicts = [{ n: 1, line: 3, reason: "field `kind` must be one of …" }, { n: 2, line: 4, reason: "field `name` is missing" }];
  collector.answers = [{ status: 200, json: { code: "stored", rejected: 2, verdicts } }];
  const recorder = await start();
  const run = recorder.startExecution({ name: "odd" });
  run.recordStep({ kind: "nonsense" as never, name: "a" });
  run.recordStep({ kind: "tool", name: "b" });
  run.complete();
  assert.deepEqual(await recorder.flush(), { stored: 2, rejected: 2, dropped: 0, pending: 0, reasons: { unreadable: 1, "field `name` is missing": 1 } });
});

test("a 200 that is not the server's stores nothing", async () => {
  collector.answers = [{ status: 200, json: { hello: "this is a hotel's wireless network" } }, { status: 403, json: {} }];
  const { counts } = await recordOne(await start());
  assert.deepEqual(counts, all(2));
  assert.equal(collector.received.length, 3);
});

test("batches are cut by count, bytes and time, and form a chain", async () => {
  const recorder = await start({ batch: { max_events: 50, max_bytes: 20_000, max_wait_ms: 200 } });
  const run = recorder.startExecution({ name: "many" });
  for (let index = 0; index < 120; index++) run.log(index);
  for (let index = 0; index < 10; index++) run.log("x".repeat(6_000));
  await collector.batches(6);
  run.log("alone");
  const before = performance.now();
  const count = collector.received.length;
  await collector.batches(count + 1);
  const waited = collector.received.at(-1)!.at - before;
  assert.ok(waited >= 150 && waited < 1_500, `${waited} ms`);
  run.complete();
  const counts = await recorder.flush();
  const events = collector.events(run.id);
  assert.deepEqual(counts, all(events.length));
  assert.equal(events.length, 133);
  // Several are under way at once, and the later may arrive first.
  const cut = collector.received.toSorted((a, b) => a.header.k - b.header.k);
  assert.deepEqual(cut.slice(0, 2).map((batch) => batch.events.length), [50, 50]);
  assert.ok(collector.received.every((batch) => Buffer.byteLength(batch.body) <= 20_000 && batch.events.length <= 50));
});

describe("a batch travels as gzip", () => {
  const { CompressionStream } = globalThis;
  afterEach(() => void Object.assign(globalThis, { CompressionStream }));

  /** Records an execution of three events, so long a text among them, and flushes. */
  async function record(length: number): Promise<string> {
    const { id, recordStep, complete } = await started();
    recordStep({ kind: "tool", name: "read", output: "the same again, ".repeat(length / 16) });
    complete();
    assert.deepEqual(await recorder!.flush(), all(3));
    return id;
  }

  async function started() {
    recorder ??= await start();
    const run = recorder.startExecution({ name: "long" });
    return { id: run.id, recordStep: run.recordStep.bind(run), complete: run.complete.bind(run) };
  }

  test("where that is shorter, and is retried as such", async () => {
    collector.answers = [problem(503, "storage_unavailable")];
    const id = await record(40_000);
    const [first, second] = collector.received;
    assert.deepEqual([first!.isGzip, second!.isGzip, collector.received.length], [true, true, 2]);
    assert.ok(second!.bytes < 1_500, `${second!.bytes} bytes`);
    assert.equal(collector.events(id)[1]!["output"].length, 40_000);
  });

  test("but not if it fits a packet as it is", async () => {
    await record(160);
    assert.deepEqual(collector.received.map(({ isGzip }) => isGzip), [false]);
  });

  const pair = (transform: (chunk: Uint8Array) => Uint8Array | undefined) =>
    class {
      constructor() {
        return new TransformStream<Uint8Array, Uint8Array>({ transform: (chunk, out) => out.enqueue(transform(chunk)!) });
      }
    };
  const fail = () => {
    throw new Error("no memory");
  };
  for (const [name, Stream] of [
    ["there is no CompressionStream", undefined],
    ["gzip is none of its formats", class { constructor() { fail(); } }],
    ["it fails", pair(fail)],
    ["it makes the batch longer", pair((chunk) => Buffer.concat([chunk, chunk]))],
    ["it never ends", class { readable = new ReadableStream(); writable = new WritableStream(); }],
  ] as const) {
    test(`as it is where ${name}`, async () => {
      Object.assign(globalThis, { CompressionStream: Stream });
      const id = await record(4_000);
      assert.deepEqual(collector.received.map(({ isGzip }) => isGzip), [false]);
      assert.equal(collector.events(id).length, 3);
    });
  }

  test("and not at all if consent is withdrawn meanwhile", async () => {
    let release = (): void => {};
    Object.assign(globalThis, {
      CompressionStream: class {
        constructor() {
          const released = new Promise<void>((resolve) => (release = resolve));
          return new TransformStream({ transform: (chunk, out) => released.then(() => out.enqueue(chunk.subarray(1))) });
        }
      },
    });
    const { recordStep } = await started();
    recordStep({ kind: "tool", name: "read", output: "x".repeat(4_000) });
    const flushed = recorder!.flush();
    recorder!.consent(false);
    release();
    assert.deepEqual(await flushed, { stored: 0, rejected: 0, dropped: 2, pending: 0, reasons: { consent_withdrawn: 2 } });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(collector.received.length, 0);
  });
});

test("a large event travels alone", async () => {
  const recorder = await start();
  const run = recorder.startExecution({ name: "large" });
  run.log("é".repeat(150_000));
  run.complete();
  assert.deepEqual(await recorder.flush(), all(3));
  assert.deepEqual(collector.events(run.id).map((event) => event.t), ["start", "log", "end"]);
  assert.deepEqual([...collector.stored().get(run.id)!.map((batch) => batch.events.length)], [1, 1, 1]);
});

test("at most four batches are under way at once", async () => {
  let open = 0;
  let most = 0;
  const answer = (): Answer => {
    most = Math.max(most, ++open);
    setTimeout(() => open--, 30);
    return { status: 200, json: { code: "stored" }, delay_ms: 30 };
  };
  const recorder = await start({ batch: { max_events: 1 } });
  collector.answers = Array.from({ length: 21 }, () => answer);
  const run = recorder.startExecution({ name: "wide" });
  for (let index = 0; index < 20; index++) run.log(index);
  assert.deepEqual(await recorder.flush(), all(21));
  assert.equal(most, 4);
});

test("several executions at once keep apart", async () => {
  const recorder = await start();
  const runs = Array.from({ length: 20 }, (_, index) => recorder.startExecution({ name: `run ${index}` }));
  for (let round = 0; round < 10; round++) for (const run of runs) run.log(round);
  for (const run of runs) run.complete();
  assert.deepEqual(await recorder.flush(), all(20 * 12));
  for (const run of runs) assert.equal(collector.events(run.id).length, 12);
});

test("flush says what still waits when its time is up, and it arrives later", async () => {
  collector.answers = [{ status: 200, json: { code: "stored" }, delay_ms: 600 }];
  const recorder = await start();
  const run = recorder.startExecution({ name: "slow" });
  run.complete();
  const before = performance.now();
  assert.deepEqual(await recorder.flush({ timeout_ms: 200 }), { stored: 0, rejected: 0, dropped: 0, pending: 2, reasons: {} });
  assert.ok(performance.now() - before < 500);
  assert.deepEqual(await recorder.flush(), all(2));
  assert.equal(collector.received.length, 1);
});

test("who listens late hears of what changes from then on", async () => {
  const recorder = await start();
  await recordOne(recorder);
  let heard = 0;
  recorder.addEventListener("statuschange", () => heard++);
  recorder.consent(true);
  assert.equal(heard, 0);
  await recordOne(recorder);
  assert.ok(heard > 0);
  assert.equal(recorder.status.stored, 4);
});

test("flush without anything to send resolves at once", async () => {
  assert.deepEqual(await (await start()).flush(), all(0));
});

test("after close nothing is recorded, and that is counted", async () => {
  const recorder = await start();
  const run = recorder.startExecution({ name: "closed" });
  assert.deepEqual(await recorder.close(), all(1));
  run.log("late");
  run.complete();
  assert.equal(recorder.status.state, "closed");
  assert.deepEqual(await recorder.flush(), { stored: 1, rejected: 0, dropped: 2, pending: 0, reasons: { recorder_closed: 2 } });
});

describe("options that cannot work are refused", () => {
  const cases: [string, Options, RegExp][] = [
    ["an endpoint others can read", { endpoint: "http://stepseal.example.com" }, /http:\/\/stepseal\.example\.com is refused/],
    ["an endpoint that looks local", { endpoint: "http://localhost.example.com" }, /is refused/],
    ["an address of the local network", { endpoint: "http://192.168.1.2" }, /is refused/],
    ["an endpoint of another kind", { endpoint: "ftp://stepseal.example.com" }, /is refused/],
    ["no URL", { endpoint: "stepseal" }, /Invalid URL/],
    ["a session URL others can read", { session: "http://app.example.com/session" }, /is refused/],
    ["no session", { session: undefined as never }, /`session` must be/],
    ["half a session", { session: { token: "x" } as never }, /`session` must be/],
  ];
  for (const [name, options, message] of cases) {
    test(name, () => assert.rejects(Recorder.start({ endpoint: collector.url, session: session(), ...options }), { name: "TypeError", message }));
  }
  for (const endpoint of ["https://stepseal.example.com/base/", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"]) {
    test(`but not ${endpoint}`, async () => {
      await start({ endpoint, session: session() });
      assert.equal(recorder!.status.state, "recording");
    });
  }
});

test("an endpoint may have a path of its own", async () => {
  const asked: string[] = [];
  collector.other = (request) => {
    asked.push(request.url!);
    return { status: 404 };
  };
  const recorder = await start({ endpoint: `${collector.url}/base` });
  recorder.startExecution({ name: "x" }).complete();
  await recorder.flush({ timeout_ms: 150 });
  assert.deepEqual([...new Set(asked)], ["/base/v1/batches"]);
});

describe("the core comes from where it is said to be", () => {
  const bytes = readFileSync(join(PACKAGE, "stepseal_bg.wasm"));
  const sources: [string, () => unknown][] = [
    ["bytes", () => bytes],
    ["an ArrayBuffer", () => new Uint8Array(bytes).buffer],
    ["a module", () => new WebAssembly.Module(bytes)],
    ["a promise of a response", async () => new Response(bytes)],
    ["a URL of a file", () => new URL(`file://${PACKAGE}/stepseal_bg.wasm`)],
    ["a data URL", () => `data:application/wasm;base64,${bytes.toString("base64")}`],
  ];
  for (const [name, source] of sources) {
    test(name, async () => {
      const recorder = await start({ wasm: source() as never });
      assert.equal(recorder.status.state, "recording");
      assert.deepEqual((await recordOne(recorder)).counts, all(2));
    });
  }

  const broken: [string, () => unknown, RegExp][] = [
    ["bytes that are no wasm", () => new Uint8Array([1, 2, 3, 4]), /CompileError/],
    ["a file that is not there", () => new URL("file:///nowhere/stepseal_bg.wasm"), /ENOENT/],
    ["a page that says 404", () => new Response("not found", { status: 404 }), /404/],
  ];
  for (const [name, source, error] of broken) {
    test(`${name}: the host goes on, nothing is recorded, and that is said`, async () => {
      const recorder = await start({ wasm: source() as never });
      const run = recorder.startExecution({ name: "unrecorded" });
      assert.equal(await run.step({ kind: "tool", name: "works" }, () => 7), 7);
      run.complete();
      assert.equal(run.getSnapshot().status, "completed");
      assert.equal(recorder.status.state, "unavailable");
      assert.match(recorder.status.last_error!, error);
      assert.deepEqual(await recorder.flush(), { stored: 0, rejected: 0, dropped: 3, pending: 0, reasons: { recorder_unavailable: 3 } });
      assert.equal(collector.received.length, 0);
    });
  }
});

describe("in a process of its own", () => {
  const node = (program: string) =>
    spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8", timeout: 20_000, cwd: PACKAGE });

  test("importing does nothing", () => {
    const program = `
      const before = Object.keys(globalThis).length;
      globalThis.fetch = () => { throw new Error("fetched"); };
      WebAssembly.compile = () => { throw new Error("compiled"); };
      const { Recorder } = await import("./index.js");
      const { mintSession } = await import("./server.js");
      console.log(typeof Recorder.start, typeof mintSession, Object.keys(globalThis).length - before);`;
    assert.deepEqual([node(program).stdout, node(program).stderr], ["function function 0\n", ""]);
  });

  test("where patterns cannot look behind the host goes on, nothing is recorded, and that is said", () => {
    const program = `
      globalThis.RegExp = class extends RegExp {
        constructor(pattern, flags) {
          if (/\\(\\?<[=!]/.test(pattern)) throw new SyntaxError("invalid group specifier name");
          super(pattern, flags);
        }
      };
      await import("./redaction.js");
      const { Recorder } = await import("./node.js");
      const recorder = await Recorder.start({ endpoint: "http://127.0.0.1:9", session: async () => ({}) });
      const run = recorder.startExecution({ name: "unrecorded" });
      run.log("x");
      const { state, last_error, reasons } = recorder.status;
      console.log(state, last_error, JSON.stringify(reasons));
      process.exit();`;
    assert.deepEqual([node(program).stdout, node(program).stderr], ['unavailable SyntaxError: invalid group specifier name {"recorder_unavailable":2}\n', ""]);
  });

  test("a recorder keeps no process running", () => {
    const started = performance.now();
    const { status, stderr } = node(`
      import { Recorder } from "./node.js";
      const session = { token: "s1.a.b.c", key: ${JSON.stringify(session().key)}, expires_at: Date.now() + 900_000 };
      const recorder = await Recorder.start({ endpoint: "http://127.0.0.1:9", session });
      recorder.startExecution({ name: "unsent" }).startStep({ kind: "tool", name: "runs" });`);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.ok(performance.now() - started < 10_000);
  });

  test("a flush does, until it resolves", () => {
    const { stdout, status } = node(`
      import { Recorder } from "./node.js";
      const session = { token: "s1.a.b.c", key: ${JSON.stringify(session().key)}, expires_at: Date.now() + 900_000 };
      const recorder = await Recorder.start({ endpoint: "http://127.0.0.1:9", session });
      recorder.startExecution({ name: "unsent" });
      console.log(JSON.stringify(await recorder.flush({ timeout_ms: 1500 })));`);
    assert.deepEqual([stdout, status], ['{"stored":0,"rejected":0,"dropped":0,"pending":1,"reasons":{}}\n', 0]);
  });
});
