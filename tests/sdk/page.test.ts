// The SDK in a real page that goes away, under a strict content security policy, against another origin.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { executionId } from "../client/batches.ts";
import { launchBrowser, openPage } from "../fixtures/browser.ts";
import { indexedDbText, RecorderPages } from "../fixtures/recorder-pages.ts";
import { Collector, session } from "./collector.ts";

let collector: Collector;
let pages: RecorderPages;
let origin: string;
let browser: Browser;
let page: Page;
let complaints: string[];

before(async () => {
  collector = await Collector.start();
  pages = await RecorderPages.serve(collector.url);
  origin = pages.origin;
  browser = await launchBrowser();
  // Without another page the browser would end with the tab that a test closes.
  await browser.newPage();
});
afterEach(async () => {
  await page?.close();
  collector.reset();
});
after(async () => {
  await browser?.close();
  await collector?.stop();
  await pages?.stop();
});

/** A page with a recorder in `window.recorder`. */
async function openRecorder(path = "/"): Promise<void> {
  ({ page, complaints } = await openPage(browser));
  await page.goto(origin + path);
  await startRecorder();
}

async function startRecorder(): Promise<void> {
  await page.evaluate(
    async ([endpoint, session]) => {
      const { Recorder } = await import("/stepseal/index.js" as string);
      Object.assign(globalThis, { recorder: await Recorder.start({ endpoint, session: () => session }) });
    },
    [collector.url, session()] as const,
  );
  // The first session is taken in the background.
  await page.waitForTimeout(50);
}

/** Records `count` steps in one go and, in the same task or after `wait_ms`, does what ends the page. Gives the execution's id. */
async function recordAndLeave(count: number, leaving: "navigate" | "stay", wait_ms = 0): Promise<string> {
  const id = executionId();
  await page.evaluate(
    ([id, count, leaving, wait_ms]) => {
      const run = (globalThis as any).recorder.startExecution({ name: "leaving", id });
      for (let index = 0; index < count; index++) run.recordStep({ kind: "tool", name: `step ${index}`, input: { index, text: "x".repeat(40) } });
      const leave = () => void (location.href = "/next");
      if (leaving === "navigate") wait_ms ? setTimeout(leave, wait_ms) : leave();
    },
    [id, count, leaving, wait_ms] as const,
  );
  return id;
}

const quiet = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function assertAllOnce(id: string, steps: number): void {
  const events = collector.events(id);
  assert.deepEqual(events.filter((event) => event.t === "step").map((event) => event["name"]), Array.from({ length: steps }, (_, index) => `step ${index}`));
  const ids = collector.received.map((batch) => batch.id);
  assert.equal(new Set(ids).size, ids.length, "no batch was sent twice");
}

describe("200 events and then a navigation all arrive, none twice", () => {
  for (const [name, wait_ms, latency_ms] of [["at once", 0, 0], ["at once, and the server takes 150 ms", 0, 150], ["after 250 ms", 250, 0]] as const) {
    test(name, async () => {
      await openRecorder();
      if (latency_ms) collector.answers = Array.from({ length: 20 }, () => ({ status: 200, json: { code: "stored" }, delay_ms: latency_ms }));
      const id = await recordAndLeave(200, "navigate", wait_ms);
      await page.waitForURL(`${origin}/next`);
      await quiet(400);
      assertAllOnce(id, 200);
      assert.deepEqual(complaints, []);
    });
  }
});

test("a secret is neither in the browser's store, nor in what is spilled there at the end, nor in what is sent then", async () => {
  await openRecorder();
  const canary = `ghp_${"q7Zr2XkW9vTm4LpB8nYc5HdJ3sGf6QgK1wRt"}`;
  collector.answers = Array.from({ length: 20 }, () => ({ status: 503 }));
  const record = (canary: string) => {
    const run = (globalThis as any).recorder.startExecution({ name: canary, input: { text: `a ${canary} b` } });
    run.startStep({ kind: "tool", name: "t", input: canary });
    run.fail(new Error(canary));
  };
  await page.evaluate(record, canary);
  await quiet(1_500);
  const stored = await indexedDbText(page);
  assert.match(stored, /\[redacted api_key [0-9a-f]{8}\]/, "the store was looked at while it had the events");
  assert.equal(stored.includes(canary.slice(4)), false);
  await page.evaluate(record, canary);
  await page.goto(`${origin}/next`);
  const spilled = await page.evaluate(() => JSON.stringify({ ...localStorage }));
  assert.equal(spilled.includes(canary.slice(4)), false);
  await quiet(300);
  assert.ok(collector.received.some((batch) => batch.body.includes("[redacted api_key ")));
  assert.equal(collector.received.some((batch) => batch.body.includes(canary.slice(4))), false);
});

test("what a page sends when it goes away it sends at once, as it is", async () => {
  await openRecorder();
  const id = await recordAndLeave(50, "stay");
  const requests = await page.evaluate(() => {
    let count = 0;
    const { fetch } = globalThis;
    globalThis.fetch = (...request) => (count++, fetch(...request));
    dispatchEvent(new Event("pagehide"));
    return count;
  });
  assert.equal(requests, 1);
  await collector.batches(1);
  assertAllOnce(id, 50);
  assert.deepEqual(collector.received.map(({ isGzip }) => isGzip), [false]);
});

test("a batch that is being packed when the page goes away goes as it is", async () => {
  await openRecorder();
  const id = await recordAndLeave(50, "stay");
  await page.evaluate(() => {
    return new Promise<void>((resolve) => {
      class Endless {
        readable = new ReadableStream();
        writable = new WritableStream({ start: () => resolve() });
      }
      Object.assign(globalThis, { CompressionStream: Endless });
      (globalThis as any).recorder.flush();
    });
  });
  assert.equal(collector.received.length, 0);
  await page.goto(`${origin}/next`);
  await collector.batches(1);
  assertAllOnce(id, 50);
  assert.deepEqual(collector.received.map(({ isGzip }) => isGzip), [false]);
  assert.deepEqual(complaints, []);
});

test("a tab that is closed sends what it has", async () => {
  await openRecorder();
  const id = await recordAndLeave(3, "stay");
  assert.equal(collector.received.length, 0);
  await Promise.all([page.waitForEvent("close"), page.close({ runBeforeUnload: true })]);
  await collector.batches(1);
  assertAllOnce(id, 3);
});

test("a step that runs when the page goes away is announced", async () => {
  await openRecorder();
  const id = executionId();
  await page.evaluate((id) => {
    const run = (globalThis as any).recorder.startExecution({ name: "leaving", id });
    run.startStep({ kind: "llm", name: "unfinished", input: "question" });
    location.href = "/next";
  }, id);
  await page.waitForURL(`${origin}/next`);
  await collector.batches(1);
  assert.deepEqual(collector.events(id).map((event) => [event.t, event["name"], event["input"]]), [
    ["start", "leaving", undefined], ["open", "unfinished", "question"],
  ]);
});

test("a page that is hidden sends at once, and goes on recording", async () => {
  await openRecorder();
  const id = await recordAndLeave(2, "stay");
  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await collector.batches(1);
  assertAllOnce(id, 2);
  const counts = await page.evaluate(async () => {
    const run = (globalThis as any).recorder.startExecution({ name: "later" });
    run.complete();
    return (globalThis as any).recorder.flush();
  });
  assert.deepEqual(counts, { stored: 5, rejected: 0, dropped: 0, pending: 0, reasons: {} });
});

test("more than the page's budget goes as far as it goes, and comes whole if the page stays", async () => {
  await openRecorder();
  const counts = await page.evaluate(async () => {
    const run = (globalThis as any).recorder.startExecution({ name: "much" });
    for (let index = 0; index < 200; index++) run.recordStep({ kind: "tool", name: `step ${index}`, input: "日本語".repeat(300) });
    dispatchEvent(new Event("pagehide"));
    run.complete();
    return { ...(await (globalThis as any).recorder.flush()), id: run.id as string };
  });
  const { id, ...rest } = counts;
  assert.deepEqual(rest, { stored: 202, rejected: 0, dropped: 0, pending: 0, reasons: {} });
  assert.equal(collector.events(id).filter((event) => event.t === "step").length, 200);
  assert.deepEqual(complaints, []);
});

test("where the policy forbids WebAssembly the page goes on and the recorder says so", async () => {
  await openRecorder("/no-wasm");
  const [value, status] = await page.evaluate(async () => {
    const { recorder } = globalThis as any;
    const value = await recorder.startExecution({ name: "x" }).step({ kind: "tool", name: "y" }, () => 7);
    return [value, recorder.status];
  });
  assert.equal(value, 7);
  assert.equal(status.state, "unavailable");
  assert.match(status.last_error, /CompileError.*unsafe-eval|Content Security Policy/);
  assert.deepEqual(status.reasons, { recorder_unavailable: 2 });
});

test("anonymous sessions of a browser share one install id", async () => {
  const installs: string[] = [];
  collector.other = (request, body) => {
    if (request.url === "/v1/sessions") installs.push(JSON.parse(body).install);
    return { status: 200, json: session(), headers: { "access-control-allow-origin": "*" } };
  };
  ({ page, complaints } = await openPage(browser));
  await page.goto(`${origin}/`);
  for (let visit = 0; visit < 2; visit++) {
    const counts = await page.evaluate(async (endpoint) => {
      const { Recorder } = await import("/stepseal/index.js" as string);
      const recorder = await Recorder.start({ endpoint, session: { publishableKey: "stepseal_pub_x" } });
      recorder.startExecution({ name: "anonymous" }).complete();
      return recorder.flush();
    }, collector.url);
    assert.equal(counts.stored, 2);
    await page.reload();
  }
  assert.equal(installs.length, 2);
  assert.equal(installs[0], installs[1]);
  assert.match(installs[0]!, /^[A-Za-z0-9_-]{22}$/);
});
