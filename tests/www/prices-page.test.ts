// A project's prices on the real worker: read, changed by rows, refused in place, and overtaken by somebody else.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launchBrowser, openDashboard } from "../fixtures/browser.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const HOSTILE = `"><img src=x onerror="document.title='markup'">`;

let worker: Worker;
let browser: Browser;

before(async () => {
  worker = await Worker.start({ site: true });
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await worker?.stop();
});

const put = (project: Project, expected_version: number, prices: object[]) =>
  worker.api.withKey(project.adminKey).request("PUT", "/v1/project/prices", JSON.stringify({ expected_version, prices }));
const stored = async (project: Project) => (await worker.api.withKey(project.adminKey).get("/v1/project/prices")).json;
const rates = (input: number, output: number, more = {}) => ({ usd_per_million: { input, output, ...more } });

async function opened(project: Project): Promise<{ page: Page; complaints: string[] }> {
  const dashboard = await openDashboard(browser, worker.url, "/project", project.adminKey);
  await dashboard.page.waitForSelector("#prices-edit");
  return dashboard;
}

const input = (page: Page, row: number, member: string) => page.locator(".price-row").nth(row).locator(`[data-member=${member}] input`);
const fault = (page: Page, row: number, member: string) => page.locator(".price-row").nth(row).locator(`[data-member=${member}] .field-fault`).innerText();
const rows = (page: Page) => page.locator("table.prices tbody tr").allInnerTexts();

test("rows are added, changed and removed, and the table says its version", async () => {
  const project = await worker.createProject("prj_rows");
  const { page, complaints } = await opened(project);
  assert.match(await page.innerText("[aria-label=Prices]"), /There are no prices yet: costs are what steps report/);
  await page.click("#prices-edit");
  assert.equal(await page.evaluate(() => document.activeElement?.closest(".field")?.getAttribute("data-member")), "model");
  await input(page, 0, "model").fill(HOSTILE);
  await input(page, 0, "input").fill("2.5");
  await input(page, 0, "cache_read").fill("1.25");
  await input(page, 0, "output").fill("10");
  await page.click("#prices-add");
  await input(page, 1, "model").fill("gpt-4*");
  await input(page, 1, "input").fill("0.075");
  await input(page, 1, "output").fill("0.3");
  await input(page, 1, "valid_from").fill("2026-01-01T00:00");
  await input(page, 1, "valid_from").press("Enter");
  await page.waitForSelector("text=Saved as version 1.");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "prices-edit");
  assert.deepEqual(await rows(page), [`${HOSTILE}\talways\t2.50\t1.25\t2.50\t10.00\t10.00`, "gpt-4*\tfrom 2026-01-01 00:00\t0.075\t0.075\t0.075\t0.30\t0.30"]);
  assert.match(await page.innerText("[aria-label=Prices]"), /Prices hold for what is stored from their saving on[^]*Version 1, saved just now/);
  const { prices } = await stored(project);
  assert.deepEqual([prices[0].model, prices[0].usd_per_million.cache_write, prices[1].valid_from], [HOSTILE, 2.5, new Date("2026-01-01T00:00").getTime()]);

  await page.click("#prices-edit");
  assert.equal(await input(page, 0, "cache_write").inputValue(), "", "as input");
  await input(page, 0, "input").fill("3");
  await page.click("button[aria-label='Remove the price of gpt-4*']");
  await page.click("#prices-save");
  await page.waitForSelector("text=Saved as version 2.");
  assert.deepEqual(await rows(page), [`${HOSTILE}\talways\t3.00\t1.25\t3.00\t10.00\t10.00`]);
  await page.click("#prices-edit");
  await input(page, 0, "input").fill("9");
  await page.click("text=Cancel");
  assert.deepEqual([await rows(page).then(([row]) => row?.includes("3.00")), (await stored(project)).version], [true, 2]);
  assert.equal(await page.locator("img, [onerror]").count(), 0, "a model with markup is text");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("what is refused is said at the field that it is about", async () => {
  const project = await worker.createProject("prj_refused");
  await put(project, 0, [{ model: "a", ...rates(1, 2) }, { model: "b", ...rates(1, 2) }]);
  const { page } = await opened(project);
  await page.click("#prices-edit");
  await input(page, 1, "output").fill("-1");
  await page.click("#prices-save");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-invalid") === "true");
  assert.equal(await fault(page, 1, "output"), "A million tokens cost 0 to 10000 US dollars.");
  await input(page, 1, "output").fill("");
  assert.equal(await fault(page, 1, "output"), "", "it is being corrected");
  await page.click("#prices-save");
  assert.equal(await fault(page, 1, "output"), "Type a number of US dollars.");
  await input(page, 1, "output").fill("2");
  await input(page, 1, "model").fill("a*b");
  await page.click("#prices-save");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-invalid") === "true");
  assert.match(await fault(page, 1, "model"), /A model's name has 1 to 128 bytes/);
  await input(page, 1, "model").fill("a");
  await page.click("#prices-save");
  const row = page.locator(".price-row").nth(1).locator("> .field-fault");
  await row.filter({ hasText: "It is valid at the same time as price 1" }).waitFor();
  await input(page, 1, "valid_from").fill("2026-01-02T00:00");
  await input(page, 1, "valid_until").fill("2026-01-01T00:00");
  await page.click("#prices-save");
  await page.waitForFunction(() => document.activeElement?.closest(".field")?.getAttribute("data-member") === "valid_until");
  assert.match(await fault(page, 1, "valid_until"), /must be later than/);
  assert.equal((await stored(project)).version, 1);
  await page.close();
});

test("of two who edit at once the later one is told, keeps what was typed, and chooses", async () => {
  const project = await worker.createProject("prj_overtaken");
  const { page } = await opened(project);
  const typeAndLose = async (version: number) => {
    await page.click("#prices-edit");
    await input(page, 0, "model").fill("mine");
    await input(page, 0, "input").fill("1");
    await input(page, 0, "output").fill("2");
    assert.equal((await put(project, version, [{ model: "theirs", ...rates(7, 8) }])).status, 200);
    await page.click("#prices-save");
    await page.waitForSelector(`text=Somebody else changed the prices meanwhile: they are at version ${version + 1}.`);
    assert.match((await rows(page))[0]!, /^theirs\talways\t7\.00/);
    assert.equal(await input(page, 0, "model").inputValue(), "mine");
    assert.equal((await stored(project)).version, version + 1);
  };
  await typeAndLose(0);
  await page.click("text=Discard mine");
  await page.waitForSelector("#prices-edit");
  assert.match((await rows(page))[0]!, /^theirs/);
  await typeAndLose(1);
  await page.click("text=Replace version 2 by mine");
  await page.waitForSelector("text=Saved as version 3.");
  assert.deepEqual((await stored(project)).prices.map(({ model }: { model: string }) => model), ["mine"]);
  await page.close();
});

test("nothing of the prices runs over the edge of a narrow window", async () => {
  const project = await worker.createProject("prj_narrow");
  await put(project, 0, [{ model: "m".repeat(128), valid_from: 1, valid_until: 4e12, ...rates(0.000000001, 10_000) }]);
  const { page } = await opened(project);
  await page.setViewportSize({ width: 360, height: 800 });
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(await overflow(), 0);
  await page.click("#prices-edit");
  assert.equal(await overflow(), 0);
  await page.close();
});
