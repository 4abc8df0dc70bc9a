// The comparison of two executions on the real worker, and the ways to it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { chain, executionId, seal, session, type Event } from "../client/batches.ts";
import { launchBrowser, openDashboard } from "../fixtures/browser.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const HOSTILE = `"><img src=x onerror="document.title='markup'">`;
const NOW = Date.now();

let worker: Worker;
let project: Project;
let browser: Browser;

before(async () => {
  worker = await Worker.start({ site: true });
  project = await worker.createProject("prj_compared");
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await worker?.stop();
});

async function record(of: Project, name: string, events: object[], { at = NOW, size = 1_000 } = {}): Promise<string> {
  const id = executionId();
  const all = [{ t: "start", at, name }, ...events, { t: "end", at: at + 1_500, status: "completed", last: events.length + 1 }].map((event, n) => ({ ...event, n })) as Event[];
  const pieces = Array.from({ length: Math.ceil(all.length / size) }, (_, k) => all.slice(k * size, (k + 1) * size));
  const sender = session(of.secret, of.id, of.kid);
  for (const bytes of chain(id, pieces)) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
  return id;
}

const step = (name: string, more: object = {}) => ({ t: "step", id: name, kind: "tool", name, at: NOW, duration_ms: 5, status: "ok", ...more });
const plan = (input: number, cost_usd: number, more: object) => step("plan", { kind: "llm", model: "m", usage: { input }, cost_usd, ...more });

const recordPair = async (of: Project) => [
  await record(of, "trip", [plan(10, 0.1, { input: { q: "fly to Seattle" }, output: { city: "SEA" } }), step("search"), step("book", { parent: "plan" })], { at: NOW - 60_000 }),
  await record(of, "trip", [
    plan(30, 0.3, { duration_ms: 9, input: { q: "fly to Salem" }, output: { city: "JFK", [HOSTILE]: HOSTILE } }), step("book", { parent: "plan" }), step(HOSTILE, { status: "error", error: { message: "x" } }),
  ]),
] as const;

const signedIn = (path: string, key = project.viewerKey) => openDashboard(browser, worker.url, path, key);

/** A's value, B's and the difference, of a row of a table. */
const cells = (page: Page, table: string, row: string) => page.locator(`table[aria-label="${table}"] tr[data-row="${row}"] td`).allInnerTexts();

test("from an execution to its comparison with another one, by keyboard", async () => {
  const [a, b] = await recordPair(project);
  const { page, complaints } = await signedIn(`/executions/${a}`);
  await page.waitForSelector("#compare");
  await page.focus("#compare");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "compare-id");
  await page.waitForSelector(`a[href="/executions/${a}/compare/${b}"]`);
  await page.keyboard.press("Enter");
  assert.match(await page.innerText("#compare-fault"), /Type or paste the id/);
  await page.fill("#compare-id", a);
  await page.keyboard.press("Enter");
  assert.equal(await page.innerText("#compare-fault"), "This is the execution itself: choose another one.");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "compare");
  await page.keyboard.press("Enter");
  await page.fill("#compare-id", `${worker.url}/executions/${b}`);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".compared");
  assert.equal(new URL(page.url()).pathname, `/executions/${a}/compare/${b}`);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1");

  assert.deepEqual(await cells(page, "Both executions", "Tokens"), ["10\n10 input", "30\n30 input", "+20 (+200%)"]);
  assert.deepEqual(await cells(page, "Both executions", "Cost"), ["$0.1000", "$0.3000", "+$0.2000 (+200%)"]);
  assert.deepEqual(await cells(page, "Both executions", "Steps"), ["3", "3\n1 failed", "none"]);
  assert.equal((await cells(page, "Both executions", "Started"))[2], "1m 00s later");
  assert.match(await page.innerText(".compared h2"), /1 changed, 1 only in A, 1 only in B, 1 same/);
  assert.deepEqual(await page.locator(".step").evaluateAll((items) => items.map((item) => [item.getAttribute("data-name"), item.getAttribute("data-change")])), [
    ["plan", "changed"], ["search", "only_a"], ["book", "same"], [HOSTILE, "only_b"],
  ]);

  await page.focus(".step-line");
  assert.match(await page.locator(".step-line").first().innerText(), /input, output/);
  await page.keyboard.press("ArrowRight");
  assert.deepEqual(await page.locator(".difference").evaluateAll((all) => all.map((one) => one.getAttribute("data-path"))), ["/input/q", "/output/city", `/output/${HOSTILE.replaceAll("/", "~1")}`]);
  assert.deepEqual(await page.locator('.difference[data-path="/input/q"] pre').allInnerTexts(), ['"fly to Seattle"', '"fly to Salem"']);
  assert.deepEqual(await page.locator('.difference[data-path="/input/q"] mark').allInnerTexts(), ["eattle", "alem"]);
  assert.deepEqual(await cells(page, "This step in both", "Duration"), ["5 ms", "9 ms", "+4 ms (+80%)"]);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.locator(".difference").count(), 0);
  await page.click("text=Open all");
  assert.equal(await page.locator(".step-title").last().innerText(), HOSTILE, "a name with markup is text");
  assert.equal(await page.locator("img, [onerror]").count(), 0);
  await page.check("#only-differences");
  assert.equal(await page.locator(".step:visible").count(), 3);

  await page.click("text=Swap A and B");
  await page.waitForFunction((path) => location.pathname === path, `/executions/${b}/compare/${a}`);
  await page.waitForSelector(".compared");
  assert.equal((await cells(page, "Both executions", "Cost"))[2], "−$0.2000 (−67%)");
  await page.click(".sides thead a >> nth=0");
  await page.waitForFunction((path) => location.pathname === path, `/executions/${b}`);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("two are chosen in the list, and Enter in a box compares them", async () => {
  const own = await worker.createProject("prj_chosen");
  const [older, newer, third] = [await record(own, HOSTILE, [step("a")], { at: NOW - 9_000 }), await record(own, "newer", [step("a")]), await record(own, "third", [step("a")], { at: NOW - 50_000 })];
  const { page, complaints } = await signedIn("/", own.viewerKey);
  const box = (id: string) => page.locator(`tr[data-execution="${id}"] input`);
  await box(older).check();
  assert.match(await page.innerText("#compare-form"), /choose another one/);
  assert.equal(new URL(page.url()).pathname, "/", "a box is not the row's link");
  await box(newer).focus();
  await page.keyboard.press("Space");
  assert.ok(await box(third).isDisabled());
  await page.click("text=Clear");
  assert.ok(await page.isHidden("#compare-form"));
  await box(older).check();
  await page.fill("#filter-name", "newer");
  await page.press("#filter-name", "Enter");
  await box(older).waitFor({ state: "detached" });
  await box(newer).check();
  await box(newer).press("Enter");
  await page.waitForSelector(".compared");
  assert.equal(new URL(page.url()).pathname, `/executions/${older}/compare/${newer}`);
  assert.deepEqual(await page.locator(".sides .side-name").allInnerTexts(), [HOSTILE, "newer"]);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a comparison of beginnings says so", async () => {
  const steps = Array.from({ length: 60 }, (_, n) => step(`s${n}`));
  const [long, short] = [await record(project, "long", steps, { size: 2 }), await record(project, "short", steps.slice(0, 4))];
  const { page } = await signedIn(`/executions/${long}/compare/${short}`);
  await page.waitForSelector(".compared");
  assert.equal(await page.innerText(".notice"), "Only the beginning is compared: the first 35 of 60 steps of A.");
  await page.close();
});

test("an execution that is not there is named", async () => {
  const [a] = await recordPair(project);
  const gone = executionId();
  const { page } = await signedIn(`/executions/${a}/compare/${gone}`);
  await page.waitForSelector("text=B is not here.");
  assert.match(await page.innerText(".empty"), new RegExp(`A is here: ${a}\\.[^]*B is not here\\. This project holds no execution ${gone}`));
  await page.goto(`${worker.url}/executions/${gone}/compare/also-gone`);
  await page.waitForSelector("text=A is not here.");
  assert.match(await page.innerText(".empty"), /A is not here[^]*B is not here/);
  await page.route("**/compare/**", (route) => (route.request().url().includes("/v1/") ? route.abort() : route.continue()));
  await page.goto(`${worker.url}/executions/${a}/compare/${gone}`);
  assert.match(await page.innerText("[role=alert]"), /The server did not answer/);
  await page.close();
});

test("nothing runs over the edge of a narrow window", async () => {
  const [a, b] = await recordPair(project);
  const { page } = await signedIn(`/executions/${a}/compare/${b}`);
  await page.setViewportSize({ width: 360, height: 800 });
  await page.waitForSelector(".compared");
  await page.click("text=Open all");
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(await overflow(), 0);
  await page.goto(worker.url);
  await page.locator("tr[data-execution] input").first().check();
  assert.equal(await overflow(), 0);
  await page.close();
});
