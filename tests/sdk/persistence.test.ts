// What outlives a page: reloads, crashes, other tabs, other people, a store that is denied or full. Real Chromium.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { executionId } from "../client/batches.ts";
import type { Claims } from "../client/keys.ts";
import { launchBrowser } from "../fixtures/browser.ts";
import { indexedDbText, RecorderPages } from "../fixtures/recorder-pages.ts";
import { Collector, session, type Answer } from "./collector.ts";

const DOWN: Answer = { status: 503, json: { code: "unavailable" } };

/** Nothing is answered until the server comes up again: as long as that takes, it is one failure to the recorder's backoff. */
function goDown(): { comeUp: () => void } {
  let resolve = () => {};
  collector.otherwise = { ...DOWN, until: new Promise<void>((up) => (resolve = up)) };
  return {
    comeUp: () => {
      collector.otherwise = { status: 200, json: { code: "stored" } };
      resolve();
    },
  };
}
/** A page is looked for among the dead every 15 s, and its execution ended 10 s after it was found. */
const TAKEN_OVER_MS = 15_000 + 3_000;
const ENDED_MS = 10_000 + 3_000;

let collector: Collector;
let pages: RecorderPages;
let browser: Browser;
let context: BrowserContext;
let complaints: string[];

before(async () => {
  collector = await Collector.start();
  pages = await RecorderPages.serve(collector.url);
  browser = await launchBrowser();
});
beforeEach(async () => {
  complaints = [];
  context = await browser.newContext();
  context.on("weberror", (error) => complaints.push(String(error.error())));
});
afterEach(async () => {
  await context.close();
  collector.reset();
  assert.deepEqual(complaints, []);
});
after(async () => {
  await browser?.close();
  await pages?.stop();
  await collector?.stop();
});

/** A tab whose page has a recorder in `window.recorder`. */
async function openRecorder(claims: Partial<Claims> = {}, options: object = {}): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${pages.origin}/`);
  await startRecorder(page, claims, options);
  return page;
}

async function startRecorder(page: Page, claims: Partial<Claims> = {}, options: object = {}): Promise<void> {
  await page.evaluate(
    async ([endpoint, session, options]) => {
      const { Recorder } = await import("/stepseal/index.js" as string);
      const recorder = await Recorder.start({ endpoint, session: () => session, ...options });
      Object.assign(globalThis, { recorder, Recorder, runs: new Map() });
    },
    [collector.url, session(claims), options] as const,
  );
  // The store is opened and the first session taken in the background.
  await page.waitForTimeout(100);
}

/** Records `count` steps of an execution, which it begins if the page has not yet. */
async function recordSteps(page: Page, id: string, count: number, then: "complete" | "go on" = "go on"): Promise<void> {
  await page.evaluate(
    ([id, count, then]) => {
      const { recorder, runs } = globalThis as any;
      const run = runs.get(id) ?? recorder.startExecution({ name: "outlives", id });
      runs.set(id, run);
      for (let index = 0; index < count; index++) run.recordStep({ kind: "tool", name: `step ${index}`, input: "x".repeat(40) });
      if (then === "complete") run.complete();
    },
    [id, count, then] as const,
  );
}

type Counts = { stored: number; rejected: number; dropped: number; pending: number; reasons: Record<string, number> };

const flush = (page: Page, timeout_ms = 5_000): Promise<Counts> =>
  page.evaluate((timeout_ms) => (globalThis as any).recorder.flush({ timeout_ms }), timeout_ms);
const status = (page: Page): Promise<Counts & { state: string; storage: string; last_error: string | null }> =>
  page.evaluate(() => (globalThis as any).recorder.status);

/** Ends the tab's process, so that none of its code runs again. */
async function kill(page: Page): Promise<void> {
  const devtools = await context.newCDPSession(page);
  const crashed = page.waitForEvent("crash");
  await Promise.race([devtools.send("Page.crash").catch(() => {}), crashed]);
  await crashed;
}

async function eventually(what: string, within_ms: number, isSo: () => boolean | Promise<boolean>): Promise<number> {
  const began = performance.now();
  while (!(await isSo())) {
    if (performance.now() - began > within_ms) assert.fail(`${what}: not within ${within_ms} ms`);
    await delay(50);
  }
  return performance.now() - began;
}

const types = (id: string) => collector.events(id).map((event) => event.t);
const hasEnded = (id: string) => () => types(id).includes("end");

/** What has the same key, together. */
function groups<T>(all: T[], keyOf: (one: T) => string): T[][] {
  return [...new Set(all.map(keyOf))].map((key) => all.filter((one) => keyOf(one) === key));
}

const steps = (count: number) => Array.from({ length: count }, () => "step");

describe("the next page", () => {
  test("delivers what was left with its numbers, and ends what the last one had not", async () => {
    const page = await openRecorder();
    collector.otherwise = DOWN;
    const [whole, cut] = [executionId(), executionId()];
    await recordSteps(page, whole, 5, "complete");
    await recordSteps(page, cut, 5);
    await page.reload();
    collector.otherwise = { status: 200, json: { code: "stored" } };
    await startRecorder(page);
    await eventually("the end of what was cut", ENDED_MS, hasEnded(cut));
    assert.deepEqual(types(whole), ["start", ...steps(5), "end"]);
    assert.deepEqual(types(cut), ["start", ...steps(5), "end"]);
    const { status, adopted, error, last } = collector.events(cut).at(-1)!;
    assert.deepEqual({ status, adopted, error: error.type, last }, { status: "cancelled", adopted: true, error: "page_closed", last: 6 });
    assert.deepEqual(await flush(page), { stored: 14, rejected: 0, dropped: 0, pending: 0, reasons: {} });
  });

  test("waits as long as the server had asked the last one to", async () => {
    const page = await openRecorder();
    collector.otherwise = { status: 429, json: { code: "slow_down", retry_after_s: 4 } };
    const id = executionId();
    await recordSteps(page, id, 2, "complete");
    void flush(page).catch(() => {});
    await collector.batches(1);
    const asked = performance.now();
    await page.waitForTimeout(200);
    collector.otherwise = { status: 200, json: { code: "stored" } };
    await page.reload();
    await startRecorder(page);
    await eventually("the delivery", 8_000, hasEnded(id));
    assert.equal(collector.received.length, 2, "neither the page that went nor the next one asked before");
    assert.ok(collector.received[1]!.at - asked >= 3_900, `asked again after ${collector.received[1]!.at - asked} ms`);
  });

  test("does not wait for ever because the clock was a day ahead when the server asked", async () => {
    await context.addInitScript(() => {
      const now = Date.now;
      Date.now = () => now() + (location.hash === "#ahead" ? 86_400_000 : 0);
    });
    const page = await context.newPage();
    await page.goto(`${pages.origin}/#ahead`);
    await startRecorder(page);
    collector.otherwise = { status: 429, json: { code: "slow_down", retry_after_s: 2 } };
    const id = executionId();
    await recordSteps(page, id, 2, "complete");
    void flush(page).catch(() => {});
    await collector.batches(1);
    await page.waitForTimeout(200);
    collector.otherwise = { status: 200, json: { code: "stored" } };
    await page.goto(`${pages.origin}/next`);
    await startRecorder(page);
    await eventually("the delivery", 8_000, hasEnded(id));
  });

  test("goes on with an execution that it resumes in time", async () => {
    const page = await openRecorder();
    const id = executionId();
    await recordSteps(page, id, 2);
    await page.goto(`${pages.origin}/next`);
    await startRecorder(page);
    await page.evaluate((id) => {
      const run = (globalThis as any).recorder.resume(id);
      Object.assign(globalThis, { run });
      run.recordStep({ kind: "tool", name: "resumed" });
    }, id);
    // Beyond the grace.
    await page.waitForTimeout(11_000);
    await page.evaluate(() => (globalThis as any).run.complete());
    await flush(page);
    const batches = collector.received.filter((batch) => batch.header.x === id && batch.status === 200);
    const writers = groups(batches, (batch) => (batch.header as { w?: string }).w ?? "");
    assert.equal(writers.length, 2);
    const [first, second] = writers.map((batches) => [...new Map(batches.map((batch) => [batch.header.k, batch])).values()].flatMap((batch) => batch.events));
    assert.deepEqual(first!.slice(0, 3).map((event) => event.t), ["start", "step", "step"]);
    assert.equal(first!.some((event) => event.t === "end"), false, "nobody cancelled it");
    assert.deepEqual(second!.map((event) => event.t), ["step", "end"]);
    assert.equal(second!.at(-1)!["status"], "completed");
  });
});

describe("tabs", () => {
  test("one takes over what another, killed in the middle of a step, has left", async () => {
    const [survivor, victim] = [await openRecorder(), await openRecorder()];
    await flush(survivor);
    collector.otherwise = DOWN;
    const id = executionId();
    await recordSteps(victim, id, 3);
    await victim.evaluate((id) => (globalThis as any).runs.get(id).startStep({ kind: "llm", name: "unfinished" }), id);
    await victim.waitForTimeout(2_000);
    await kill(victim);
    collector.otherwise = { status: 200, json: { code: "stored" } };
    await eventually("the delivery", TAKEN_OVER_MS, () => collector.events(id).length > 0);
    await eventually("the end", ENDED_MS, hasEnded(id));
    assert.deepEqual(types(id), ["start", ...steps(3), "open", "end"]);
    assert.equal(collector.events(id).at(-1)!["error"].type, "page_closed");
    assert.equal((await flush(survivor)).pending, 0);
  });

  test("only one sends at a time, and another when that one closes", async () => {
    const [first, second] = [await openRecorder({ sid: "ses_first0000000000" }, { batch: { max_events: 5 } }), await openRecorder({ sid: "ses_second000000000" }, { batch: { max_events: 5 } })];
    collector.otherwise = { status: 200, json: { code: "stored" }, delay_ms: 100 };
    const ids = [executionId(), executionId()] as const;
    await Promise.all([recordSteps(first, ids[0], 60, "complete"), recordSteps(second, ids[1], 60, "complete")]);
    const counts = await Promise.all([flush(first, 20_000), flush(second, 20_000)]);
    assert.deepEqual(counts.map(({ stored, pending }) => [stored, pending]), [[62, 0], [62, 0]]);
    const spans = groups(collector.received, (batch) => batch.token);
    assert.equal(spans.length, 2);
    for (const one of spans[0]!) {
      for (const other of spans[1]!) {
        assert.ok(one.answeredAt <= other.at || other.answeredAt <= one.at, "requests of two tabs were under way at once");
      }
    }

    collector.reset();
    collector.otherwise = DOWN;
    const later = [executionId(), executionId()] as const;
    await recordSteps(first, later[0], 3, "complete");
    await collector.batches(1);
    await recordSteps(second, later[1], 3, "complete");
    await second.waitForTimeout(2_500);
    const token = collector.received[0]!.token;
    assert.ok(collector.received.every((batch) => batch.token === token), "the other one waits for its turn");
    collector.otherwise = { status: 200, json: { code: "stored" } };
    await Promise.all([first.waitForEvent("close"), first.close({ runBeforeUnload: true })]);
    await eventually("the other's delivery", 5_000, hasEnded(later[1]));
    await eventually("the first one's delivery", TAKEN_OVER_MS, hasEnded(later[0]));
  });

  test("what one person recorded waits for a session of theirs", async () => {
    const page = await openRecorder({ sub: "alice" });
    collector.otherwise = DOWN;
    const [hers, his] = [executionId(), executionId()];
    await recordSteps(page, hers, 3, "complete");
    await page.waitForTimeout(200);
    await page.reload();
    collector.reset();
    await startRecorder(page, { sub: "bob" });
    await recordSteps(page, his, 3, "complete");
    await flush(page);
    await page.waitForTimeout(1_000);
    assert.deepEqual([types(hers), types(his)], [[], ["start", ...steps(3), "end"]]);
    assert.equal(collector.received.some((batch) => batch.header.x === hers), false);
    await page.reload();
    await startRecorder(page, { sub: "alice" });
    await eventually("her delivery", 5_000, hasEnded(hers));
    assert.deepEqual(types(hers), ["start", ...steps(3), "end"]);
    const { sub } = JSON.parse(Buffer.from(collector.received.at(-1)!.token.split(".")[3]!, "base64url").toString());
    assert.equal(sub, "alice");
  });
});

test("a page that was kept by the browser goes on where it was when it comes back, and nothing comes twice", async (t) => {
  const keeping = await launchBrowser({ keepsPages: true });
  try {
    const page = await keeping.newPage();
    await page.goto(`${pages.origin}/`);
    await startRecorder(page);
    const id = executionId();
    await recordSteps(page, id, 3);
    await page.evaluate(() => addEventListener("pageshow", ({ persisted }) => Object.assign(globalThis, { persisted })));
    await page.goto(`${pages.origin}/next`);
    await startRecorder(page);
    const other = executionId();
    await recordSteps(page, other, 3, "complete");
    await flush(page);
    // Longer than the grace: the next page must leave it alone.
    await page.waitForTimeout(11_000);
    await page.goBack({ waitUntil: "commit" });
    await page.waitForTimeout(300);
    if (!(await page.evaluate(() => (globalThis as any).persisted))) return t.skip("this browser keeps no pages");
    await recordSteps(page, id, 2, "complete");
    assert.deepEqual(await flush(page), { stored: 7, rejected: 0, dropped: 0, pending: 0, reasons: {} });
    assert.deepEqual(types(id), ["start", ...steps(5), "end"]);
    assert.equal(collector.events(id).at(-1)!["status"], "completed");
    assert.deepEqual(types(other), ["start", ...steps(3), "end"]);
    assert.equal(collector.received.filter((batch) => batch.header.x === other).length, 1);
  } finally {
    await keeping.close();
  }
});

describe("a store", () => {
  test("that the browser denies leaves memory, and everything is sent", async () => {
    const page = await context.newPage();
    await page.goto(`${pages.origin}/sandboxed`);
    await startRecorder(page);
    const id = executionId();
    await recordSteps(page, id, 3, "complete");
    assert.deepEqual(await flush(page), { stored: 5, rejected: 0, dropped: 0, pending: 0, reasons: {} });
    assert.equal((await status(page)).storage, "memory");
    assert.deepEqual(types(id), ["start", ...steps(3), "end"]);
  });

  test("that throws leaves memory, and everything is sent", async () => {
    await context.addInitScript(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("denied", "SecurityError");
      };
    });
    const page = await openRecorder();
    const id = executionId();
    await recordSteps(page, id, 3, "complete");
    assert.deepEqual(await flush(page), { stored: 5, rejected: 0, dropped: 0, pending: 0, reasons: {} });
    const { storage, last_error } = await status(page);
    assert.deepEqual({ storage, last_error }, { storage: "memory", last_error: "storage: denied" });
  });

  test("that is full loses the contents of the oldest ended executions, counted, each number accounted for", async () => {
    const page = await context.newPage();
    // Before the page is there: the browser asks for the quota now and then only. It may give no room back before it has compacted
    // its files; then the recorder goes on in memory.
    const devtools = await context.newCDPSession(page);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin: pages.origin, quotaSize: 8_000_000 });
    await page.goto(`${pages.origin}/`);
    await startRecorder(page);
    const server = goDown();
    const [oldest, youngest] = [executionId(), executionId()];
    const long = async (id: string, count: number) => {
      await page.evaluate(([id, count]) => {
        const run = (globalThis as any).recorder.startExecution({ name: "much", id });
        for (let index = 0; index < count; index++) run.recordStep({ kind: "tool", name: `step ${index}`, input: Array.from({ length: 3_000 }, () => Math.random().toString(36)).join("") });
        run.complete();
      }, [id, count] as const);
      await page.waitForTimeout(500);
    };
    await long(oldest, 100);
    const more = [executionId(), executionId(), executionId()] as const;
    for (const id of more) await long(id, 100);
    await long(youngest, 1);
    const counted = await status(page);
    assert.ok(counted.reasons["queue_full"]! > 0, JSON.stringify(counted));
    assert.equal(counted.dropped, counted.reasons["queue_full"]);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin: pages.origin });
    server.comeUp();
    const counts = await flush(page, 30_000);
    assert.equal(counts.pending, 0);
    assert.deepEqual(types(youngest), ["start", "step", "end"]);
    let [dropped, numbers] = [0, 3];
    for (const id of [oldest, ...more]) {
      const events = collector.eventsAndDrops(id);
      const drops = events.filter((event) => event.t === "drop");
      for (const drop of drops) assert.equal(drop["reason"], "queue_full");
      dropped += drops.reduce((sum, drop) => sum + drop["count"], 0);
      numbers += events.at(-1)!.n + 1;
    }
    assert.equal(dropped, counts.dropped);
    assert.equal(counts.stored + counts.dropped, numbers);
  });

  test("that is full while an execution runs loses its oldest batches but the first, and says so", async () => {
    const page = await openRecorder();
    const server = goDown();
    const id = executionId();
    await page.evaluate((id) => {
      const run = ((globalThis as any).run = (globalThis as any).recorder.startExecution({ name: "much", id }));
      for (let index = 0; index < 40; index++) run.recordStep({ kind: "tool", name: `step ${index}`, input: "x".repeat(30_000) });
      // The quota cannot be met at a moment of one's choosing: the browser asks for it now and then only.
      const { put } = IDBObjectStore.prototype;
      IDBObjectStore.prototype.put = () => {
        IDBObjectStore.prototype.put = put;
        throw new DOMException("full", "QuotaExceededError");
      };
    }, id);
    await page.waitForFunction(() => (globalThis as any).recorder.status.dropped > 0);
    await page.evaluate(() => (globalThis as any).run.complete());
    server.comeUp();
    const counts = await flush(page, 30_000);
    const events = collector.eventsAndDrops(id);
    const drops = events.filter((event) => event.t === "drop");
    assert.deepEqual([events[0]!.t, events.at(-1)!.t, counts.pending, (await status(page)).storage], ["start", "end", 0, "durable"]);
    assert.deepEqual([...new Set(drops.map((drop) => drop["reason"]))], ["queue_full"]);
    // One in the place of what it stands for is no event of its own.
    const own = events.filter((event) => event.t !== "drop" || event["from"] !== event.n);
    assert.deepEqual([counts.dropped, counts.stored], [drops.reduce((sum, drop) => sum + drop["count"], 0), own.length]);
  });
});

test("withdrawn consent empties the browser's store and stops", async () => {
  const page = await openRecorder();
  collector.otherwise = DOWN;
  const id = executionId();
  await recordSteps(page, id, 3);
  await page.waitForTimeout(1_500);
  const before = await kept(page);
  assert.ok(before.includes(id), "the store was looked at while it held something");
  const count = collector.received.length;
  await page.evaluate(() => (globalThis as any).recorder.consent(false));
  await recordSteps(page, id, 2);
  await page.waitForTimeout(1_500);
  assert.equal((await kept(page)).includes(id), false);
  assert.equal(await page.evaluate(() => Object.keys(localStorage).length), 0);
  assert.equal(collector.received.length, count);
  const counted = await status(page);
  assert.deepEqual(counted.reasons, { consent_withdrawn: 4, recorder_no_consent: 2 });
  assert.deepEqual([counted.state, counted.pending], ["no_consent", 0]);
  collector.otherwise = { status: 200, json: { code: "stored" } };
  await page.reload();
  await startRecorder(page);
  await page.waitForTimeout(1_000);
  assert.equal(collector.received.length, count, "the next page finds nothing");
});

/** Everything that IndexedDB and localStorage hold, as text. */
async function kept(page: Page): Promise<string> {
  return (await page.evaluate(() => JSON.stringify({ ...localStorage }))) + (await indexedDbText(page));
}

test("`statuschange` tells the same as `flush()`", async () => {
  const page = await openRecorder();
  collector.answers = [{ status: 503 }, { status: 400, json: { code: "batch_malformed" } }];
  await page.evaluate(() => {
    const { recorder } = globalThis as any;
    const seen: unknown[] = [];
    recorder.addEventListener("statuschange", () => seen.push(recorder.status));
    Object.assign(globalThis, { seen });
  });
  const id = executionId();
  await recordSteps(page, id, 3, "complete");
  const counts = await flush(page);
  await recordSteps(page, executionId(), 2, "complete");
  const after = await flush(page);
  const seen = await page.evaluate(() => (globalThis as any).seen as (Counts & { state: string; storage: string })[]);
  const { state, storage, last_error, ...last } = seen.at(-1)! as any;
  assert.deepEqual(last, after);
  assert.deepEqual([state, storage, last_error], ["recording", "durable", "batch not stored: 400 batch_malformed"]);
  assert.deepEqual(counts, { stored: 0, rejected: 0, dropped: 5, pending: 0, reasons: { batch_malformed: 5 } });
  assert.deepEqual(after, { stored: 4, rejected: 0, dropped: 5, pending: 0, reasons: { batch_malformed: 5 } });
  assert.ok(seen.some(({ pending }) => pending === 5), "it told of what was pending, too");
  for (const each of seen) assert.ok(each.stored + each.rejected + each.dropped + each.pending <= 9);
});
