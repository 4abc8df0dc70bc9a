import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { chromium, type Browser, type Page } from "playwright-core";

import { findChromium } from "../../scripts/chromium.mjs";
import { problem, serveSite, siteHeaders, type ApiRequest, type CannedSite, type Reply } from "./canned-api.ts";

const CHROMIUM_ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const VIEWER_KEY = `stepseal_viewer_${"a1".repeat(20)}`;
const UNKNOWN_KEY = `stepseal_viewer_${"00".repeat(20)}`;
const HOSTILE = `"><img src=x onerror="document.title='markup'"><script>document.title='script'</script>`;

let browser: Browser;
let site: CannedSite;
let page: Page;
/** What the browser refused or a script threw; every test must leave it empty. */
let faults: string[];
let revoked = false;

before(async () => {
  browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  site = await serveSite(answer);
});

after(async () => {
  await browser?.close();
  await site?.close();
});

beforeEach(async () => {
  revoked = false;
  site.requests.length = 0;
  faults = [];
  page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // Refused requests are what some tests are about; the browser notes each.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
});

// ---- canned replies ----

const COOKIE = "__Host-stepseal=c1.sealed";
const SIGNED_IN = { signed_in: true, role: "viewer", csrf: "token", project: { id: "prj_demo", name: HOSTILE }, key: { id: "key_1", name: "k" }, expires_at: 1 };

function answer(path: string, query: URLSearchParams, request: ApiRequest): Reply {
  if (path === "/v1/sign-in") return answerSignIn(request);
  if (revoked || !isSignedIn(request)) return problem(401, "unauthenticated", "This key is not known or no longer valid.");
  if (path === "/v1/project") return { body: { id: "prj_demo", name: HOSTILE, status: "active", origins: [site.url], publishable_key: "stepseal_pub_demo", search: "hashed" } };
  if (path === "/v1/executions") return { body: executionPage(query) };
  if (path === "/v1/executions/run_hostile") return { body: { execution: { ...execution("run_hostile"), ...hostileContents(), writers: [{ writer: "", batches: 2, events: 252 }] } } };
  if (path === "/v1/executions/run_hostile/steps") return { body: stepPage(query.get("cursor")) };
  if (path === "/v1/executions/run_hostile/verify") return { body: verification() };
  return problem(404, "execution_not_found", "There is no such execution.");
}

const isSignedIn = ({ cookie }: ApiRequest) => cookie === COOKIE;

function answerSignIn(request: ApiRequest): Reply {
  if (request.method === "GET") return { body: isSignedIn(request) ? SIGNED_IN : { signed_in: false } };
  if (request.method === "DELETE") {
    return request.csrf === "token"
      ? { body: { signed_in: false }, setCookie: `${COOKIE}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0` }
      : problem(403, "cross_site_request", "No token.");
  }
  if (JSON.parse(request.body).key !== VIEWER_KEY) return problem(401, "credential_invalid", "The API key is unknown, expired or revoked.");
  return { body: SIGNED_IN, setCookie: `${COOKIE}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200` };
}

function execution(id: string, at = 1_790_000_000_000) {
  return {
    id, name: HOSTILE, agent: HOSTILE, pipeline: HOSTILE, user: HOSTILE, session: HOSTILE, environment: HOSTILE, release: HOSTILE, tags: [HOSTILE],
    status: "failed", started_at: at, ended_at: at + 9000, duration_ms: 9000, events: 252, steps: 250, error_steps: 1, models: [HOSTILE], tools: [HOSTILE],
    usage: { input: 1200, output: 34 }, cost_usd: 0.0123, derived_cost_usd: 0.004, price_versions: { first: 1, last: 2 }, completeness: "incomplete", subject: HOSTILE, provenance: "origin", received_at: at, updated_at: at,
  };
}

function hostileContents() {
  return { scores: [{ id: "s1", name: HOSTILE, value: HOSTILE, comment: HOSTILE, source: HOSTILE, step: null }], input: HOSTILE, output: { [HOSTILE]: HOSTILE }, metadata: [HOSTILE], error: { type: HOSTILE, message: HOSTILE, stack: HOSTILE } };
}

/** 60 executions; the first is the hostile one. */
function executionPage(query: URLSearchParams) {
  const all = Array.from({ length: 60 }, (_, n) => execution(n === 0 ? "run_hostile" : `run_${n}`, 1_790_000_000_000 - n * 60_000));
  const matching = query.get("name") === "nothing" ? [] : all;
  const from = Number(query.get("cursor") ?? 0);
  const to = from + Number(query.get("limit"));
  return { executions: matching.slice(from, to), next_cursor: to < matching.length ? String(to) : null, window: { from: Number(query.get("from")), to: null } };
}

function stepPage(cursor: string | null) {
  const message = { role: HOSTILE, content: HOSTILE, name: HOSTILE, tool_calls: [{ id: HOSTILE, function: { name: HOSTILE, arguments: HOSTILE } }] };
  const steps = Array.from({ length: 250 }, (_, n) => ({
    id: `s${n}`, kind: n === 0 ? HOSTILE : "llm", name: HOSTILE, at: 1_790_000_000_000 + n, duration_ms: 1, status: n === 0 ? HOSTILE : "ok",
    input: { messages: [message] }, output: message, reasoning: HOSTILE, error: { type: HOSTILE, message: HOSTILE, stack: HOSTILE, [HOSTILE]: HOSTILE },
    model: HOSTILE, provider: HOSTILE, tool: { name: HOSTILE, call_id: HOSTILE }, metadata: { [HOSTILE]: HOSTILE }, usage: { input: HOSTILE }, writer: HOSTILE, k: 0, n,
  }));
  return cursor === null ? { steps: steps.slice(0, 200), next_cursor: "more" } : { steps: steps.slice(200), next_cursor: null };
}

function verification() {
  const batch = (k: number, verdict: string, reason: string | null) => ({
    writer: "", k, batch_id: `bat_${"0".repeat(15)}${k}`, n: k * 126, count: 126, sha256: "ab".repeat(32), received_at: 1_790_000_000_000, provenance: "origin", verdict, reason,
  });
  return {
    execution: "run_hostile", verdict: "tampered", tail_unknown: false, missing: [{ writer: "", from: 7, to: 9 }], dropped: [], next_cursor: null,
    batches: [batch(0, "verified", null), batch(1, "tampered", HOSTILE)],
  };
}

async function signIn(path = "/"): Promise<void> {
  await page.goto(site.url + path);
  await page.fill("#key", VIEWER_KEY);
  await page.click("button[type=submit]");
  await page.waitForSelector("#bar:not([hidden])");
}

// ---- tests ----

test("every page comes with the strict policy", () => {
  const headers = siteHeaders();
  assert.equal(
    headers["Content-Security-Policy"],
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  );
  assert.equal(headers["Referrer-Policy"], "no-referrer");
  assert.equal(headers["X-Content-Type-Options"], "nosniff");
});

test("a key that cannot be one is refused without asking the server", async () => {
  await page.goto(site.url);
  await page.fill("#key", `stepseal_ingest_${"a1".repeat(20)}`);
  await page.click("button[type=submit]");
  assert.match(await page.innerText("[role=alert]"), /ingest key/);
  assert.deepEqual(site.requests.map(({ method }) => method), ["GET"]);
});

test("a wrong key is refused with a reason and leaves nothing behind", async () => {
  await page.goto(site.url);
  await page.fill("#key", UNKNOWN_KEY);
  await page.click("button[type=submit]");
  assert.equal(await page.innerText("[role=alert]"), "No project here knows this key. It may be mistyped, revoked, or of another server.");
  assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
  assert.deepEqual(faults, []);
});

test("the key is sent once and kept nowhere; the cookie outlives a reload, and signing out ends it", async () => {
  await signIn();
  await page.waitForSelector("tr[data-execution]");
  assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, ""]);
  const withKey = site.requests.filter((request) => JSON.stringify(request).includes(VIEWER_KEY));
  assert.deepEqual(withKey.map(({ method, url }) => `${method} ${url}`), ["POST /v1/sign-in"]);
  assert.equal(page.url().includes("stepseal_viewer"), false);
  await page.reload();
  await page.waitForSelector("tr[data-execution]");
  await page.click("text=Sign out");
  await page.waitForSelector("#key");
  const last = site.requests.at(-1)!;
  assert.deepEqual([last.method, last.url, last.csrf, last.cookie], ["DELETE", "/v1/sign-in", "token", COOKIE]);
  assert.deepEqual(await page.context().cookies(), []);
  assert.deepEqual(faults, []);
});

test("a key that is revoked meanwhile ends the session with the server's reason", async () => {
  await signIn();
  await page.waitForSelector("tr[data-execution]");
  revoked = true;
  await page.click("button[aria-label=Refresh]");
  await page.waitForSelector("#key");
  assert.equal(await page.innerText("[role=status]"), "Signed out: This key is not known or no longer valid.");
});

test("the list pages to the older ones, filters through the API and says when nothing matches", async () => {
  await signIn();
  await page.waitForSelector("tr[data-execution]");
  assert.equal(await page.locator("tr[data-execution]").count(), 50);
  await page.click("text=Older");
  await page.waitForSelector('tr[data-execution="run_59"]');
  assert.equal(await page.locator("tr[data-execution]").count(), 60);
  await page.selectOption("#filter-status", "failed");
  await page.fill("#filter-name", "nothing");
  await page.press("#filter-name", "Enter");
  await page.waitForSelector("text=No execution matches these filters.");
  assert.equal(site.requests.at(-1)!.url, "/v1/executions?status=failed&name=nothing&from=0&limit=50");
  assert.equal(new URL(page.url()).search, "?status=failed&name=nothing");
  await page.fill("#filter-text", "gate closed");
  await page.press("#filter-text", "Enter");
  await page.waitForFunction(() => location.search.includes("text=gate+closed"));
  assert.equal(site.requests.at(-1)!.url, "/v1/executions?status=failed&name=nothing&text=gate+closed&from=0&limit=50");
  await page.click("text=Clear filters");
  await page.selectOption("#filter-period", "7d");
  await page.waitForSelector("text=/50 executions shown, started since 20/");
  const from = () => new URLSearchParams(site.requests.at(-1)!.url.split("?")[1]).get("from");
  const begun = from();
  assert.ok(Math.abs(Number(begun) - (Date.now() - 7 * 86_400_000)) < 60_000, String(begun));
  await page.click("text=Older");
  await page.waitForSelector('tr[data-execution="run_59"]');
  assert.equal(from(), begun, "a cursor continues the window it was made for");
  assert.deepEqual(faults, []);
});

test("nothing that a trace says becomes markup, on any page, with everything opened", async () => {
  await signIn();
  await page.waitForSelector("tr[data-execution]");
  assert.equal(await page.innerText('tr[data-execution="run_hostile"] a'), HOSTILE);
  await page.click('tr[data-execution="run_hostile"] a');
  await page.waitForSelector(".step-line");
  assert.equal(await page.locator(".step-line").count(), 200);
  await page.click("text=Load more steps");
  await page.waitForFunction(() => document.querySelectorAll(".step-line").length === 250);
  await page.click("text=Open all");
  await page.click("#verify");
  await page.waitForSelector("#verification section");
  assert.equal(await page.innerText("h1"), HOSTILE);
  assert.match(await page.innerText(".facts.leading"), /\$0\.0040 by the project's prices, versions 1 to 2/);
  assert.ok((await page.locator(".facts.remaining .chip").allInnerTexts()).includes(`${HOSTILE} ${HOSTILE}`), "the score");
  assert.deepEqual(await foreignElements(), []);
  await page.goto(`${site.url}/playground`);
  await page.waitForSelector(".access");
  assert.deepEqual(await foreignElements(), []);
  assert.deepEqual(faults, []);
});

test("verify says what was found, in which batch and why", async () => {
  await signIn("/executions/run_hostile");
  await page.click("#verify");
  await page.waitForSelector("#verification section");
  assert.equal(await page.innerText("#verify"), "Tampered");
  assert.equal(await page.innerText("#verification .verdict"), "Tampered. 1 of 2 batches no longer matches what was signed. Do not rely on this record.");
  assert.deepEqual(await page.locator("#verification .faults li").allInnerTexts(), [
    `Batch 1 (bat_0000000000000001, events 126 to 251): ${HOSTILE}`,
    "Missing: events 7 to 9 never arrived",
  ]);
  assert.deepEqual(faults, []);
});

test("an execution that is not there and a page that is not there say so", async () => {
  await signIn("/executions/run_nowhere");
  await page.waitForSelector("text=No such execution");
  await page.goto(`${site.url}/no/such/page`);
  await page.waitForSelector("text=No such page");
  assert.deepEqual(faults, []);
});

/** Elements that this application never makes. */
function foreignElements(): Promise<string[]> {
  return page.evaluate(() => [...document.querySelectorAll("img, iframe, object, body script, [onerror]")].map((element) => element.outerHTML)
    .concat(document.title === "markup" || document.title === "script" ? [document.title] : []));
}
