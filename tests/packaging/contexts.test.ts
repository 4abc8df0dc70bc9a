// The installed package wherever a browser runs scripts: workers of each kind, frames, extensions, under strict policies.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { findChromium } from "../../scripts/chromium.mjs";
import { launchBrowser, openPage } from "../fixtures/browser.ts";
import { Collector } from "../sdk/collector.ts";
import { ENTRIES, type Entry, Installation, Program, type Recorded } from "./installation.ts";
import { Site } from "./site.ts";

/** Where an entry's module lies on the site. */
const FILES: Record<Entry, string> = { stepseal: "/node_modules/stepseal/index.js", "stepseal/inline": "/node_modules/stepseal/inline.js" };
const html = (body: string) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>context</title>${body}\n`;
const MAIN = '<script type="module" src="main.js"></script>';
/** Waits for a message with the outcome, in the page. */
const MESSAGE = "new Promise((resolve) => addEventListener('message', ({ data }) => data.counts && resolve(data)))";

let installed: Installation;
let collector: Collector;
let site: Site;
let browser: Browser;
let page: Page;
let complaints: string[];

/** The policies of the apps whose folder is named so. */
function headersOf(path: string): Record<string, string> {
  const policy = (script: string, connect: string) => ({ "content-security-policy": `default-src 'none'; img-src data:; script-src ${script}; connect-src ${connect}` });
  if (path.startsWith("/sandboxed")) return { "access-control-allow-origin": "*" };
  if (path.startsWith("/strict-stepseal-inline")) return policy("'self' 'wasm-unsafe-eval'", collector.url);
  if (path.startsWith("/strict")) return policy("'self' 'wasm-unsafe-eval'", `'self' ${collector.url}`);
  if (path.startsWith("/no-wasm")) return policy("'self'", `'self' ${collector.url}`);
  // A frame without an origin of its own fetches even modules from another one.
  return path.startsWith("/node_modules/") ? { "access-control-allow-origin": "*" } : {};
}

before(async () => {
  installed = new Installation();
  collector = await Collector.start();
  site = await Site.serve(installed.home, headersOf);
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  await site?.stop();
  await collector?.stop();
  installed?.remove();
});

/** Opens the app and gives what `expression` comes to in its page. */
async function outcome(name: string, files: Record<string, string>, expression: string): Promise<Recorded> {
  const folder = installed.app(name, files);
  ({ page, complaints } = await openPage(browser));
  try {
    await page.goto(`${site.origin}${folder.slice(installed.home.length)}/`);
    return await page.evaluate<Recorded>(`Promise.race([${expression}, new Promise((_, reject) => setTimeout(reject, 10_000, new Error("nothing was recorded")))])`);
  } finally {
    await page.close();
  }
}

/** Checks what the app records, and that the page does not complain. */
async function assertRecords(program: Program, recorded: Promise<Recorded>, storage: "durable" | "memory"): Promise<void> {
  program.assertArrived(await recorded, storage);
  assert.deepEqual(complaints, []);
}

for (const entry of ENTRIES) {
  describe(`${entry} records`, () => {
    test("in a dedicated worker", async () => {
      const program = new Program(collector);
      const worker = `${program.text(FILES[entry])} recorded.then((outcome) => postMessage(outcome));`;
      const run = "new Promise((resolve) => { new Worker('main.js', { type: 'module' }).onmessage = ({ data }) => resolve(data); })";
      await assertRecords(program, outcome(`worker ${entry}`, { "main.js": worker, "index.html": html("") }, run), "durable");
    });

    test("in a shared worker", async () => {
      const program = new Program(collector);
      const worker = `addEventListener("connect", ({ ports: [port] }) => recorded.then((outcome) => port.postMessage(outcome)));`;
      const run = "new Promise((resolve) => { new SharedWorker('main.js', { type: 'module' }).port.onmessage = ({ data }) => resolve(data); })";
      const main = `import { Recorder } from "${FILES[entry]}"; ${worker} ${program.script()}`;
      await assertRecords(program, outcome(`shared ${entry}`, { "main.js": main, "index.html": html("") }, run), "durable");
    });

    test("in a service worker", async () => {
      const program = new Program(collector);
      const worker = "addEventListener('message', (event) => event.waitUntil(recorded.then((outcome) => event.source.postMessage(outcome))));";
      const run = `(async () => {
        const answer = new Promise((resolve) => { navigator.serviceWorker.onmessage = ({ data }) => resolve(data); });
        const registration = await navigator.serviceWorker.register("main.js", { type: "module" });
        (registration.installing ?? registration.active).postMessage("start");
        return answer;
      })()`;
      await assertRecords(program, outcome(`service ${entry}`, { "main.js": program.text(FILES[entry]) + worker, "index.html": html("") }, run), "durable");
    });

    const tell = "recorded.then((outcome) => parent.postMessage(outcome, '*'));";
    const frame = (attributes: string) => html(`<script>globalThis.recorded = ${MESSAGE};</script><iframe ${attributes} src="frame.html"></iframe>`);

    test("in a frame of the same origin", async () => {
      const program = new Program(collector);
      const files = { "main.js": program.text(FILES[entry]) + tell, "frame.html": html(MAIN), "index.html": frame("") };
      await assertRecords(program, outcome(`frame ${entry}`, files, "recorded"), "durable");
    });

    test("in a sandboxed frame, which has no origin and no storage, and says so", async () => {
      const program = new Program(collector);
      const files = { "main.js": program.text(FILES[entry]) + tell, "frame.html": html(MAIN), "index.html": frame('sandbox="allow-scripts"') };
      await assertRecords(program, outcome(`sandboxed ${entry}`, files, "recorded"), "memory");
    });

    test("under a strict policy with 'wasm-unsafe-eval'", async () => {
      const program = new Program(collector);
      await assertRecords(program, outcome(`strict ${entry}`, { "main.js": program.text(FILES[entry]), "index.html": html(MAIN) }, "recorded"), "durable");
    });
  });

  test(`${entry} records nothing under a policy without 'wasm-unsafe-eval', says why and throws nothing`, async () => {
    const program = new Program(collector);
    collector.reset();
    const { counts, state, last_error } = await outcome(`no wasm ${entry}`, { "main.js": program.text(FILES[entry]), "index.html": html(MAIN) }, "recorded");
    assert.deepEqual({ counts, state }, {
      counts: { stored: 0, rejected: 0, dropped: 3, pending: 0, reasons: { recorder_unavailable: 3 } }, state: "unavailable",
    });
    assert.match(String(last_error), /^CompileError: .*(unsafe-eval|Content Security Policy)/);
    assert.equal(collector.received.length, 0);
    assert.deepEqual(complaints.filter((complaint) => complaint.startsWith("exception")), []);
  });
}

describe("an extension", () => {
  let profile: string;
  let context: BrowserContext;

  /** Chromium derives an unpacked extension's id from its folder. */
  const idOf = (folder: string) =>
    createHash("sha256").update(folder).digest("hex").slice(0, 32).replace(/./g, (digit) => String.fromCharCode(97 + Number.parseInt(digit, 16)));

  async function launchWith(extension: string): Promise<void> {
    profile = mkdtempSync(join(tmpdir(), "stepseal-profile-"));
    context = await chromium.launchPersistentContext(profile, {
      executablePath: await findChromium(),
      ignoreDefaultArgs: ["--disable-extensions"],
      args: ["--headless=new", "--no-sandbox", "--disable-gpu", `--disable-extensions-except=${extension}`, `--load-extension=${extension}`],
    });
  }

  after(async () => {
    await context?.close();
    if (profile) rmSync(profile, { recursive: true, force: true });
  });

  test("records in a page of its own", async () => {
    const program = new Program(collector);
    const folder = installed.app("extension", {
      "manifest.json": JSON.stringify({
        manifest_version: 3, name: "records", version: "1",
        content_security_policy: { extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'" },
      }),
      "page.html": html(MAIN),
      "main.js": program.text("./stepseal/index.js"),
    });
    cpSync(installed.package, join(folder, "stepseal"), { recursive: true });
    await launchWith(folder);
    const page = await context.newPage();
    await page.goto(`chrome-extension://${idOf(folder)}/page.html`);
    program.assertArrived(await page.evaluate<Recorded>("recorded"), "durable");
  });
});
