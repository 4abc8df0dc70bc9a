// The installed package, built by each bundler with the configuration that sdk-wasm/README.md names, and run in Chromium.

import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { nodeResolve } from "@rollup/plugin-node-resolve";
// Rollup without native parts, of which not every platform has one.
import { rollup } from "@rollup/wasm-node";
import { build as esbuild } from "esbuild";
import type { Browser } from "playwright-core";
import { build as viteBuild, createServer as viteServer } from "vite";
import webpack from "webpack";
import { launchBrowser, openPage } from "../fixtures/browser.ts";
import { Collector } from "../sdk/collector.ts";
import { ENTRIES, type Entry, Installation, Program, type Recorded } from "./installation.ts";
import { Site } from "./site.ts";

/** A page that runs `script`. */
const page = (script: string) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>app</title>${script}\n`;
const MODULE = page('<script type="module" src="./main.js"></script>');
const CLASSIC = page('<script src="./main.js"></script>');

let installed: Installation;
let collector: Collector;
let browser: Browser;

before(async () => {
  installed = new Installation();
  collector = await Collector.start();
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  await collector?.stop();
  installed?.remove();
});

/** Opens the page at `url` and checks that what its program recorded has arrived. */
async function assertRecords(program: Program, url: string): Promise<void> {
  const { page, complaints } = await openPage(browser);
  try {
    await page.goto(url);
    await page.waitForFunction("globalThis.recorded", undefined, { timeout: 10_000 });
    program.assertArrived(await page.evaluate<Recorded>("recorded"), "durable");
    assert.deepEqual(complaints, []);
  } finally {
    await page.close();
  }
}

async function assertSiteRecords(program: Program, folder: string): Promise<void> {
  const site = await Site.serve(folder);
  try {
    await assertRecords(program, `${site.origin}/`);
  } finally {
    await site.stop();
  }
}

/** What README says for bundlers that leave `new URL(…, import.meta.url)` alone: the wasm goes beside the bundle. */
function copyWasm(entry: Entry, folder: string): void {
  if (entry === "stepseal") copyFileSync(join(installed.package, "stepseal_bg.wasm"), join(folder, "stepseal_bg.wasm"));
}

/** How each tool makes a site of an app that imports `entry`; gives the site's folder. */
const BUNDLERS: Record<string, (app: string, entry: Entry) => Promise<string>> = {
  async "vite build"(root) {
    await viteBuild({ root, configFile: false, logLevel: "error" });
    return join(root, "dist");
  },
  async webpack(context) {
    const compiler = webpack({ mode: "production", context, entry: "./main.js", output: { path: context, filename: "bundle.js" } });
    const stats = await new Promise<webpack.Stats>((resolve, reject) => compiler.run((error, stats) => (stats ? resolve(stats) : reject(error))));
    assert.deepEqual(stats.toJson({ all: false, errors: true, warnings: true }), { errors: [], warnings: [] });
    return context;
  },
  async esbuild(root, entry) {
    const { warnings } = await esbuild({ absWorkingDir: root, entryPoints: ["main.js"], bundle: true, format: "esm", minify: true, outfile: "bundle.js", logLevel: "silent" });
    assert.deepEqual(warnings, []);
    copyWasm(entry, root);
    return root;
  },
  async Rollup(root, entry) {
    const warnings: string[] = [];
    const bundle = await rollup({ input: join(root, "main.js"), plugins: [nodeResolve({ browser: true })], onwarn: ({ message }) => void warnings.push(message) });
    await bundle.write({ file: join(root, "bundle.js"), format: "es" });
    await bundle.close();
    assert.deepEqual(warnings, []);
    copyWasm(entry, root);
    return root;
  },
};

for (const entry of ENTRIES) {
  describe(`${entry} records in a page`, () => {
    for (const [name, makeSite] of Object.entries(BUNDLERS)) {
      test(`built by ${name}`, async () => {
        const program = new Program(collector);
        const html = name === "webpack" ? CLASSIC : MODULE;
        const index = name === "vite build" ? html : html.replace("main.js", "bundle.js");
        await assertSiteRecords(program, await makeSite(installed.app(`${entry} ${name}`, { "main.js": program.text(entry), "index.html": index }), entry));
      });
    }

    test("served by vite's development server", async () => {
      const program = new Program(collector);
      const root = installed.app(`${entry} vite dev`, { "main.js": program.text(entry), "index.html": MODULE });
      const server = await viteServer({
        root, configFile: false, logLevel: "error", server: { host: "localhost", port: 0 },
      });
      try {
        await server.listen();
        await assertRecords(program, server.resolvedUrls!.local[0]!);
      } finally {
        await server.close();
      }
    });

    test("imported by a plain <script type=module>", async () => {
      const program = new Program(collector);
      const file = entry === "stepseal" ? "index.js" : "inline.js";
      const script = `<script type="module">${program.text(`../node_modules/stepseal/${file}`)}</script>`;
      const root = installed.app(`${entry} plain`, { "index.html": page(script) });
      const site = await Site.serve(installed.home);
      try {
        await assertRecords(program, `${site.origin}/${basename(root)}/`);
      } finally {
        await site.stop();
      }
    });
  });
}

test("stepseal/inline records from a classic script, as esbuild makes it", async () => {
  const program = new Program(collector);
  const root = installed.app("inline classic", { "main.js": program.text("stepseal/inline"), "index.html": CLASSIC.replace("main.js", "bundle.js") });
  await esbuild({ absWorkingDir: root, entryPoints: ["main.js"], bundle: true, format: "iife", outfile: "bundle.js", logLevel: "silent" });
  await assertSiteRecords(program, root);
});
