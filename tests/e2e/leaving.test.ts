// What pages do to their recorders every day, each against real workerd, with and without 150 ms of latency: navigations in the
// middle of things, hours offline and then a closed tab, servers that are down or ask to wait. Everything arrives, nothing twice.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { BrowserContext, Page } from "playwright-core";
import { World } from "../chaos/world.ts";
import { executionId } from "../client/batches.ts";
import { FAIR, FaultyProxy, type Weather } from "../fixtures/faulty-proxy.ts";

/** An event of 0.9 kB. */
const TEXT = "x".repeat(750);
const ARRIVAL_MS = 15_000;

let world: World;
let context: BrowserContext;
let proxy: FaultyProxy;
let seed = 0;

before(async () => {
  world = await World.make();
});
after(() => world?.end());
beforeEach(async () => {
  proxy = await FaultyProxy.start(world.worker.url, ++seed);
  context = await world.browser.newContext();
});
afterEach(async () => {
  await context.close();
  await proxy.stop();
});

async function open(): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${world.pages.origin}/`);
  await startRecorder(page);
  return page;
}

async function startRecorder(page: Page): Promise<void> {
  await page.evaluate(async ([endpoint, session]) => {
    const { Recorder } = await import("/stepseal/index.js" as string);
    Object.assign(globalThis, { recorder: await Recorder.start({ endpoint, session }) });
  }, [proxy.url, `${world.pages.origin}/session?seed=${seed}`] as const);
  // The first session is taken in the background.
  await page.waitForTimeout(100);
}

/** Records a whole execution of `count` steps in one task; then, in the same task or `wait_ms` later, the page navigates if `leaves`. */
async function record(page: Page, count: number, leaves = false, wait_ms = 0): Promise<string> {
  const id = executionId();
  await page.evaluate(([id, count, text, leaves, wait_ms]) => {
    const run = (globalThis as any).recorder.startExecution({ name: "leaving", id });
    for (let index = 0; index < count; index++) run.recordStep({ kind: "tool", name: `step ${index}`, input: text });
    run.complete();
    const leave = () => void (location.href = "/next");
    if (leaves) wait_ms ? setTimeout(leave, wait_ms) : leave();
  }, [id, count, TEXT, leaves, wait_ms] as const);
  return id;
}

/** All steps are in the store, once each, and the execution verifies. */
async function assertStored(id: string, count: number): Promise<void> {
  const deadline = performance.now() + ARRIVAL_MS;
  let verification: any;
  do {
    await delay(100);
    verification = (await world.viewer.get(`/v1/executions/${id}/verify`)).json;
  } while (verification.verdict !== "verified" && performance.now() < deadline);
  assert.equal(verification.verdict, "verified", JSON.stringify(verification));
  assert.deepEqual(verification.dropped, []);
  const steps = await world.viewer.all(`/v1/executions/${id}/steps?limit=200`, "steps");
  assert.deepEqual(steps.map(({ name }) => name), Array.from({ length: count }, (_, index) => `step ${index}`));
}

const sentOnce = () => assert.equal(new Set(proxy.arrived.map(({ id }) => id)).size, proxy.arrived.length, "no batch was sent twice");

for (const latency_ms of [0, 150]) {
  const weather: Weather = { ...FAIR, latency_ms: [latency_ms, latency_ms] };
  describe(`with ${latency_ms} ms of latency`, () => {
    beforeEach(() => {
      proxy.weather = weather;
    });

    for (const wait_ms of [0, 250]) {
      test(`200 events and a navigation ${wait_ms ? `${wait_ms} ms later` : "at once"}: the next page has what did not fit into the page's last 64 KiB`, async () => {
        const page = await open();
        const id = await record(page, 200, true, wait_ms);
        await page.waitForURL(`${world.pages.origin}/next`);
        await startRecorder(page);
        await assertStored(id, 200);
      });
    }

    test("200 short events and a navigation at once, to a page without a recorder", async () => {
      const page = await open();
      const id = executionId();
      await page.evaluate((id) => {
        const run = (globalThis as any).recorder.startExecution({ name: "leaving", id });
        for (let index = 0; index < 200; index++) run.recordStep({ kind: "tool", name: `step ${index}` });
        run.complete();
        location.href = "/next";
      }, id);
      await page.waitForURL(`${world.pages.origin}/next`);
      await assertStored(id, 200);
      sentOnce();
    });

    test("5 events, offline for nine seconds, the tab closed; the next visit sends them", async () => {
      const page = await open();
      proxy.weather = { ...weather, offline: true };
      const id = await record(page, 5);
      await page.waitForTimeout(9_000);
      const other = await context.newPage();
      await Promise.all([page.waitForEvent("close"), page.close({ runBeforeUnload: true })]);
      proxy.weather = weather;
      await other.goto(`${world.pages.origin}/`);
      const minted = other.waitForResponse((reply) => reply.url().includes("/session?"));
      await startRecorder(other);
      const { token } = await (await minted).json();
      await assertStored(id, 5);
      // The closed tab's last request may have been under way when the network came back: nobody could know, and the store did.
      assert.equal(proxy.arrived.filter((batch) => batch.token === token).length, 1);
    });

    test("5 events, and the server answers 503, 503 and then as it should", async () => {
      proxy.answers = [{ status: 503 }, { status: 503 }];
      const page = await open();
      const id = await record(page, 5);
      await assertStored(id, 5);
      assert.equal(proxy.arrived.length, 3);
      assert.equal(new Set(proxy.arrived.map(({ id }) => id)).size, 1, "one batch, three times");
    });

    test("5 events, and the server asks for four seconds: not before, and not much later", async () => {
      proxy.answers = [{ status: 429, headers: { "retry-after": "4" } }];
      const page = await open();
      const id = await record(page, 5);
      await assertStored(id, 5);
      const [first, second, ...more] = proxy.arrived;
      assert.deepEqual(more, []);
      const waited = second!.at - first!.at - latency_ms;
      assert.ok(waited >= 3_950 && waited < 6_500, `asked again after ${waited} ms`);
    });
  });
}
