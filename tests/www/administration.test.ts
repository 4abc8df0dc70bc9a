// The admins' pages on the real worker: settings, keys, audit log.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { body, executionId, seal, session, smallExecution } from "../client/batches.ts";
import { launchBrowser, openDashboard } from "../fixtures/browser.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const HOSTILE = `"><img src=x onerror="document.title='markup'">`;

let worker: Worker;
let project: Project;
let browser: Browser;

before(async () => {
  worker = await Worker.start({ site: true });
  project = await worker.createProject("prj_pages");
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await worker?.stop();
});

const signedIn = (key: string, path: string) => openDashboard(browser, worker.url, path, key);

test("an admin renames, pauses, makes a key, rotates and revokes it, and finds all of it in the log", async () => {
  const { page, complaints } = await signedIn(project.adminKey, "/project");
  await page.fill("#project-name", HOSTILE);
  await page.fill("#project-origins", "https://a.example.com  https://b.example.com");
  await page.check("#project-turnstile");
  await page.check("#project-subject-keys");
  await page.click("text=Save");
  await page.waitForFunction(() => (document.querySelector("#project-origins") as HTMLInputElement).value === "https://a.example.com https://b.example.com");
  await page.click("button:text-is('Pause')");
  await page.waitForSelector("button:text-is('Resume')");
  const api = worker.api.withKey(project.adminKey);
  const { json } = await api.get("/v1/project");
  assert.deepEqual([json.name, json.status, json.origins], [HOSTILE, "paused", ["https://a.example.com", "https://b.example.com"]]);
  assert.deepEqual([json.turnstile, json.subject_keys], [true, true]);
  assert.ok(await page.isChecked("#project-turnstile"));

  await page.fill("#key-name", HOSTILE);
  await page.selectOption("#key-life", "30");
  await page.click("text=Create key");
  const made = await page.innerText("#new-key");
  assert.equal((await worker.api.withKey(made).get("/v1/project")).status, 200);
  const row = page.locator("tr[data-key]", { hasText: "onerror" }).first();
  await row.locator("text=Rotate").click();
  await page.waitForFunction((before) => document.querySelector("#new-key")?.textContent !== before, made);
  const rotated = await page.innerText("#new-key");
  await page.waitForFunction(() => document.querySelectorAll("tr[data-key]").length === 4);
  await row.locator("text=Revoke").click();
  await row.locator("text=Really revoke?").click();
  await page.waitForSelector("tr[data-ended=true]");
  const states = await Promise.all([made, rotated].map(async (key) => (await worker.api.withKey(key).get("/v1/project")).status));
  assert.deepEqual(states.sort(), [200, 401]);

  await page.click("text=Audit log");
  await page.waitForSelector("tr[data-seq]");
  const actions = await page.locator("tr[data-seq] td:nth-child(4)").allInnerTexts();
  assert.deepEqual(actions, ["key.revoke", "key.rotate", "key.create", "project.change", "project.change", "sign_in.begin", "project.create"]);
  await page.selectOption("#audit-action", "key.create");
  await page.waitForFunction(() => document.querySelectorAll("tr[data-seq]").length === 1);
  await page.click("#audit-verify");
  await page.waitForSelector("#audit-findings section");
  assert.equal(await page.innerText("#audit-findings .verdict"), "Whole. 7 entries, each fitting the one before it.");
  assert.equal(await page.locator("img, [onerror]").count(), 0);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("what is refused is said in the page", async () => {
  const { page } = await signedIn(project.adminKey, "/project");
  await page.fill("#project-origins", "http://insecure.example.com");
  await page.click("text=Save");
  assert.match(await page.innerText("[role=alert]"), /At most 32 origins/);
  await page.context().close();
});

test("a viewer sees neither the links nor the pages", async () => {
  const { page } = await signedIn(project.viewerKey, "/project");
  await page.waitForSelector("text=No such page");
  assert.equal(await page.locator('nav a[href="/audit"]').count(), 0);
  await page.context().close();
});

test("an admin sees the month's use and the outcomes, and sets a budget that stops", async () => {
  const own = await worker.createProject("prj_usage");
  const send = () => worker.api.sendBatch(seal(session(own.secret, own.id, own.kid), body(executionId(), smallExecution())));
  assert.equal((await send()).json.code, "stored");
  const { page, complaints } = await signedIn(own.adminKey, "/project");
  await page.waitForSelector("tr[data-outcome=stored]");
  assert.match(await page.innerText("table.usage"), /Events\s+4\s+–/);
  assert.match(await page.innerText("[aria-label=Usage]"), /Batches of the last 30 days: 1 received = 1 stored \+ 0 sent again \+ 0 rejected\./);
  await page.fill("#budget-steps", "4");
  await page.click("text=Set budget");
  await page.waitForSelector("text=The budget is used up");
  assert.equal((await send()).json.code, "budget_exhausted");
  await page.fill("#budget-steps", "");
  await page.click("text=Set budget");
  await page.waitForSelector("tr[data-outcome=budget_exhausted]");
  assert.equal((await send()).json.code, "stored");
  assert.deepEqual(complaints, []);
  await page.close();
});
