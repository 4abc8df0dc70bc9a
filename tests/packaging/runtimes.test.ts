// The installed package where there is no page: Node, and workerd as wrangler bundles for it.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { localWranglerEnv, wranglerScript } from "../../scripts/wrangler.mjs";
import { Collector } from "../sdk/collector.ts";
import { ENTRIES, Installation, Program, type Recorded } from "./installation.ts";

const COMPATIBILITY_DATE = "2026-11-01";
/** The Node that runs the tests and, by `npm test`, the one that the user has. */
const NODES = [...new Set([process.execPath, process.env["npm_node_execpath"] ?? process.execPath])];

let installed: Installation;
let collector: Collector;

before(async () => {
  installed = new Installation();
  collector = await Collector.start();
});
after(async () => {
  await collector?.stop();
  installed?.remove();
});

for (const entry of ENTRIES) {
  describe(`${entry} records`, () => {
    for (const node of NODES) {
      const version = execFileSync(node, ["--version"], { encoding: "utf8" }).trim();
      test(`in Node ${version}, and lets it end`, async () => {
        const program = new Program(collector);
        const folder = installed.app(`${entry} ${version}`, { "main.mjs": `${program.text(entry)} console.log(JSON.stringify(await recorded));` });
        const { stdout, stderr } = await promisify(execFile)(node, ["main.mjs"], { cwd: folder, timeout: 20_000 });
        assert.equal(stderr, "");
        program.assertArrived(JSON.parse(stdout), "memory");
      });
    }

    test("in workerd, bundled by wrangler without configuration", async () => {
      const program = new Program(collector);
      const folder = installed.app(`${entry} workerd`, { "worker.js": workerText(program, entry) });
      program.assertArrived(await runInWorkerd(await bundleForWorkerd(folder)), "memory");
    });
  });
}

/** A worker that runs the program and answers its outcome: outside of a request workerd gives no randomness. */
function workerText(program: Program, entry: string): string {
  return `import { Recorder } from ${JSON.stringify(entry)};
    export default { async fetch() { ${program.script()} return Response.json(await globalThis.recorded); } };`;
}

/** What `wrangler deploy` would upload: a folder with worker.js and its modules. */
async function bundleForWorkerd(folder: string): Promise<string> {
  const args = ["deploy", "worker.js", "--name", "packaged", "--compatibility-date", COMPATIBILITY_DATE, "--dry-run", "--outdir", "dist"];
  await promisify(execFile)(process.execPath, [wranglerScript(), ...args], { cwd: folder, env: localWranglerEnv(), timeout: 60_000 });
  return join(folder, "dist");
}

async function runInWorkerd(dist: string): Promise<Recorded> {
  const wasm = readdirSync(dist).filter((file) => file.endsWith(".wasm"));
  const modules = [
    { type: "ESModule", path: "worker.js", contents: readFileSync(join(dist, "worker.js"), "utf8") },
    ...wasm.map((file) => ({ type: "CompiledWasm", path: file, contents: readFileSync(join(dist, file)) })),
  ];
  const miniflare = new Miniflare(convertV4MiniflareOptions({
    name: "packaged", modules, compatibilityDate: COMPATIBILITY_DATE, cf: false, logRequests: false,
    telemetry: { enabled: false }, log: new Log(LogLevel.WARN),
  } as never));
  try {
    return (await (await miniflare.dispatchFetch("http://localhost/")).json()) as Recorded;
  } finally {
    await miniflare.dispose();
  }
}
