// The dashboard's cookie: exchanged for a key, tied to our own page, ended by sign-out and by revocation.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import type { Reply } from "../client/api.ts";
import { launchBrowser, openPage } from "../fixtures/browser.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

let worker: Worker;
let project: Project;

before(async () => {
  worker = await Worker.start({ site: true });
  project = await worker.createProject("prj_people");
});

after(() => worker.stop());

const statusAndCode = (reply: Reply) => [reply.status, reply.json.code];
const signIn = (key: string, headers = {}) => worker.api.request("POST", "/v1/sign-in", JSON.stringify({ key }), headers);

type SignedIn = { cookie: string; csrf: string };

async function signedIn(key: string): Promise<SignedIn> {
  const reply = await signIn(key);
  assert.equal(reply.status, 200, JSON.stringify(reply.json));
  return { cookie: reply.headers.get("set-cookie")!.split(";")[0]!, csrf: reply.json.csrf };
}

const by = ({ cookie, csrf }: SignedIn, method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
  worker.api.request(method, path, body, { cookie, "stepseal-csrf": csrf, ...headers });

test("a key is exchanged for a cookie that scripts cannot read and that does not carry it", async () => {
  const reply = await signIn(project.viewerKey);
  const header = reply.headers.get("set-cookie")!;
  assert.match(header, /^__Host-stepseal=c1\.[\w-]+\.[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200$/);
  assert.ok(!Buffer.from(header.split(".")[1]!, "base64url").toString().includes(project.viewerKey));
  assert.deepEqual([reply.json.signed_in, reply.json.role, reply.json.project.id], [true, "viewer", project.id]);
  const session = await signedIn(project.viewerKey);
  const { json } = await by(session, "GET", "/v1/sign-in");
  assert.deepEqual([json.signed_in, json.csrf], [true, session.csrf]);
  assert.ok(json.expires_at > Date.now() + 11.9 * 3_600_000 && json.expires_at < Date.now() + 12.1 * 3_600_000);
  assert.equal((await by(session, "GET", "/v1/executions")).status, 200);
  assert.deepEqual((await worker.api.get("/v1/sign-in")).json, { signed_in: false });
  assert.deepEqual(statusAndCode(await by(session, "GET", "/v1/project/keys")), [403, "role_insufficient"]);
});

test("a cookie that was changed or made elsewhere opens nothing", async () => {
  const { cookie, csrf } = await signedIn(project.viewerKey);
  const last = cookie.at(-2) === "A" ? "B" : "A";
  const changed = [cookie.slice(0, -2) + last + cookie.slice(-1), cookie.replace("c1.", "c2."), cookie.replace(/\.[^.]+$/, "."), "__Host-stepseal=", "stepseal=1"];
  for (const other of changed) {
    assert.deepEqual(statusAndCode(await by({ cookie: other, csrf }, "GET", "/v1/executions")), [401, "unauthenticated"], other);
  }
});

test("keys that open nothing, and bodies that are none", async () => {
  const made = await worker.api.withKey(project.adminKey).request("POST", "/v1/project/keys", JSON.stringify({ role: "ingest", name: "i" }));
  const unknown = `stepseal_viewer_${"0".repeat(32)}`;
  for (const [key, expected] of [[made.json.key, [403, "role_insufficient"]], [unknown, [401, "credential_invalid"]], ["", [401, "credential_invalid"]]] as const) {
    const reply = await signIn(key);
    assert.deepEqual([statusAndCode(reply), reply.headers.get("set-cookie")], [expected, null]);
  }
  assert.deepEqual(statusAndCode(await worker.api.request("POST", "/v1/sign-in", "{}")), [400, "request_malformed"]);
  assert.deepEqual(statusAndCode(await worker.api.request("PUT", "/v1/sign-in", "{}")), [405, "method_not_allowed"]);
});

describe("requests that another site's page makes", () => {
  const own = () => new URL(worker.url).origin;

  test("read nothing by the cookie", async () => {
    const session = await signedIn(project.adminKey);
    const foreign: Record<string, string>[] = [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }, { origin: "null" }];
    for (const headers of foreign) {
      const reply = await by(session, "GET", "/v1/executions", headers);
      assert.deepEqual([...statusAndCode(reply), reply.headers.get("access-control-allow-origin")], [403, "cross_site_request", null]);
    }
    assert.equal((await by(session, "GET", "/v1/executions", { "sec-fetch-site": "same-origin", origin: own() })).status, 200);
  });

  test("write nothing by the cookie, nor does our page without its token", async () => {
    const session = await signedIn(project.adminKey);
    const another = await signedIn(project.adminKey);
    const rename = (csrf: string, headers = {}) =>
      by({ ...session, csrf }, "PATCH", "/v1/project", { "sec-fetch-site": "same-origin", origin: own(), ...headers }, '{"name":"renamed"}');
    for (const csrf of ["", "x", another.csrf]) assert.deepEqual(statusAndCode(await rename(csrf)), [403, "cross_site_request"]);
    assert.deepEqual(statusAndCode(await rename(session.csrf, { "sec-fetch-site": "cross-site" })), [403, "cross_site_request"]);
    assert.equal((await rename(session.csrf)).json.project.name, "renamed");
  });

  test("cannot sign anybody in", async () => {
    const reply = await signIn(project.viewerKey, { "sec-fetch-site": "cross-site", origin: "https://evil.example" });
    assert.deepEqual([...statusAndCode(reply), reply.headers.get("set-cookie")], [403, "cross_site_request", null]);
  });
});

test("signing out ends the cookie itself, and only that one", async () => {
  const [session, another] = [await signedIn(project.viewerKey), await signedIn(project.viewerKey)];
  assert.deepEqual(statusAndCode(await by({ ...session, csrf: "" }, "DELETE", "/v1/sign-in")), [403, "cross_site_request"]);
  const ended = await by(session, "DELETE", "/v1/sign-in");
  assert.match(ended.headers.get("set-cookie")!, /^__Host-stepseal=; .*Max-Age=0$/);
  assert.deepEqual(statusAndCode(await by(session, "GET", "/v1/executions")), [401, "credential_invalid"]);
  assert.equal((await by(another, "GET", "/v1/executions")).status, 200);
  await worker.pause();
  await worker.resume();
  assert.deepEqual(statusAndCode(await by(session, "GET", "/v1/executions")), [401, "credential_invalid"]);
  assert.equal((await by(another, "GET", "/v1/executions")).status, 200);
});

test("revoking a key ends its sign-ins", async () => {
  const admin = worker.api.withKey(project.adminKey);
  const { json } = await admin.request("POST", "/v1/project/keys", JSON.stringify({ role: "viewer", name: "left" }));
  const session = await signedIn(json.key);
  assert.equal((await by(session, "GET", "/v1/executions")).status, 200);
  await admin.request("DELETE", `/v1/project/keys/${json.id}`);
  assert.deepEqual(statusAndCode(await by(session, "GET", "/v1/executions")), [401, "credential_invalid"]);
});

test("wrong keys are limited by address; a key already known to be good still works", async () => {
  const limited = await Worker.start({ wrongKeyLimit: 3 });
  try {
    const own = await limited.createProject("prj_guessed");
    const attempt = (key: string) => limited.api.request("POST", "/v1/sign-in", JSON.stringify({ key }));
    assert.equal((await attempt(own.viewerKey)).status, 200);
    const codes: string[] = [];
    for (let count = 0; count < 5; count++) codes.push((await attempt(`wrong${count}`)).json.code);
    assert.deepEqual(codes, [...Array(3).fill("credential_invalid"), "rate_limited", "rate_limited"]);
    const refused = await attempt(own.adminKey);
    assert.deepEqual([...statusAndCode(refused), refused.headers.get("retry-after")], [429, "rate_limited", "60"]);
    assert.deepEqual(statusAndCode(await limited.api.withKey(own.adminKey).get("/v1/project")), [429, "rate_limited"]);
    assert.equal((await attempt(own.viewerKey)).status, 200);
  } finally {
    await limited.stop();
  }
});

describe("in Chromium", () => {
  let browser: Browser;
  before(async () => { browser = await launchBrowser(); });
  after(() => browser?.close());

  test("signing in, a reload and signing out", async () => {
    const { page, complaints } = await openPage(browser);
    await page.goto(worker.url);
    await page.fill("#key", project.viewerKey);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#bar:not([hidden])");
    assert.deepEqual(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]), ["", 0, 0]);
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie!.name, cookie!.httpOnly, cookie!.secure, cookie!.sameSite], ["__Host-stepseal", true, true, "Strict"]);
    await page.reload();
    await page.waitForSelector("#bar:not([hidden])");
    await page.click("text=Sign out");
    await page.waitForSelector("#key");
    assert.deepEqual(await page.context().cookies(), []);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });
});
