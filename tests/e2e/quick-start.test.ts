// README's quick start, followed word for word: its commands and files are taken from the text. Only what a
// reader fills in (port, publishable key) is filled in here.

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Api } from "../client/api.ts";
import { launchBrowser, openPage } from "../fixtures/browser.ts";
import { ROOT } from "../fixtures/worker.ts";

const README = readFileSync(join(ROOT, "README.md"), "utf8");
const READY_MS = 60_000;

/** The code block that follows `name` in the README. */
function readmeFile(name: string): string {
  const block = new RegExp(`\`${name.replace(".", "\\.")}\`[^\`]*(?:\`[^\`]+\`[^\`]*)*?:\n\n\`\`\`\\w+\n([\\s\\S]*?)\n\`\`\``).exec(README)?.[1];
  assert.ok(block, `README has no block for ${name}`);
  return `${block}\n`;
}

function readmeCommands(first: string): string[] {
  const block = README.split("```sh\n").map((rest) => rest.split("\n```")[0]!).find((text) => text.startsWith(first));
  assert.ok(block, `README has no commands that begin with ${first}`);
  return block.split("\n");
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

async function eventually<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const result = await attempt().catch(() => undefined);
    if (result !== undefined) return result;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${READY_MS / 1000} s`);
    await delay(200);
  }
}

describe("README's quick start", () => {
  const home = mkdtempSync(join(tmpdir(), "stepseal-quick-start-"));
  const devFile = join(home, "dev.json");
  const children: ChildProcess[] = [];
  let port: number;

  /** Starts a program in a process group of its own, so that all of it can be ended. */
  function start(command: string, args: string[], cwd: string, env: Record<string, string> = {}): ChildProcess {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: "pipe", detached: true });
    children.push(child);
    return child;
  }

  function startStepseal(): ChildProcess {
    rmSync(devFile, { force: true });
    const args = ["scripts/start.mjs", "--skip-build", "--port", String(port), "--persist", join(home, "state")];
    return start(process.execPath, args, ROOT, { STEPSEAL_DEV_FILE: devFile });
  }

  const devJson = () => eventually("npm start", async () => JSON.parse(readFileSync(devFile, "utf8")));

  async function end(child: ChildProcess): Promise<number | null> {
    if (child.exitCode !== null) return child.exitCode;
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    child.kill("SIGINT");
    return exited;
  }

  before(async () => {
    port = await freePort();
  });

  after(async () => {
    for (const child of children) {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It has ended already.
      }
    }
    rmSync(home, { recursive: true, force: true });
  });

  test("npm start writes credentials for its owner alone, and they open the API", async () => {
    const stepseal = startStepseal();
    const dev = await devJson();
    assert.deepEqual(
      Object.keys(dev).sort(),
      ["admin_key", "kid", "project", "project_secret", "publishable_key", "url", "viewer_key"],
    );
    assert.equal(dev.url, `http://127.0.0.1:${port}`);
    assert.equal(statSync(devFile).mode & 0o777, 0o600);
    for (const key of [dev.viewer_key, dev.admin_key]) {
      assert.equal((await new Api(dev.url, key).get("/v1/executions")).status, 200);
    }
    assert.equal(await end(stepseal), 0);
  });

  test("a page built by the README records an execution, and it is in the list after a restart", async () => {
    let stepseal = startStepseal();
    const dev = await devJson();
    const api = new Api(dev.url, dev.viewer_key);
    const sitePort = await freePort();
    const site = `http://localhost:${sitePort}`;
    const operatorKey = /^STEPSEAL_OPERATOR_KEY=(.+)$/m.exec(readFileSync(join(home, "state", "secrets.env"), "utf8"))?.[1];
    const changed = await api.withKey(operatorKey)
      .request("PATCH", `/v1/projects/${dev.project}`, JSON.stringify({ origins: [site] }));
    assert.equal(changed.status, 200);

    const app = join(home, "my-agent");
    const commands = readmeCommands("npm pack");
    assert.deepEqual(commands.map((line) => line.split(" ").slice(0, 2).join(" ")), ["npm pack", "mkdir ../my-agent", "cd ../my-agent", "npm init", "npm install"]);
    const quiet = { stdio: "pipe" as const, env: { ...process.env, npm_config_loglevel: "error" } };
    execFileSync("npm", ["pack", join(ROOT, "sdk-wasm", "pkg"), "--pack-destination", home], quiet);
    execFileSync("mkdir", [app]);
    const packages = commands[4]!.replace("../stepseal/", "../").split(" ").slice(2);
    execFileSync("npm", ["init", "-y"], { ...quiet, cwd: app });
    execFileSync("npm", ["install", ...packages], { ...quiet, cwd: app });
    const script = readmeFile("main.js");
    assert.ok(script.includes("http://127.0.0.1:8787") && script.includes("stepseal_pub_…"));
    writeFileSync(join(app, "main.js"), script.replace("http://127.0.0.1:8787", dev.url).replace("stepseal_pub_…", dev.publishable_key));
    writeFileSync(join(app, "index.html"), readmeFile("index.html"));
    start("npx", ["vite", "--port", String(sitePort), "--strictPort"], app);
    await eventually("vite", async () => (await fetch(site)).ok || undefined);

    const browser = await launchBrowser();
    try {
      const { page } = await openPage(browser);
      await page.goto(site);
      await page.locator("#log", { hasText: '"stored"' }).waitFor({ timeout: READY_MS });
      const [id, ...counts] = (await page.locator("#log").innerText()).split("\n");
      assert.deepEqual(JSON.parse(counts.join("\n")), { stored: 5, rejected: 0, dropped: 0, pending: 0, reasons: {} });
      const shown = await api.get(`/v1/executions/${id}`);
      const { name, agent, status, steps, cost_usd, completeness } = shown.json.execution;
      assert.deepEqual(
        { name, agent, status, steps, cost_usd, completeness },
        { name: "book a flight", agent: "travel", status: "completed", steps: 2, cost_usd: 0.0004, completeness: "complete" },
      );
      assert.equal((await api.get(`/v1/executions/${id}/verify`)).json.verdict, "verified");

      assert.equal(await end(stepseal), 0);
      stepseal = startStepseal();
      assert.deepEqual(await devJson(), dev);
      assert.deepEqual((await api.get("/v1/executions")).json.executions.map((execution: any) => execution.id), [id]);
      assert.equal(await end(stepseal), 0);
    } finally {
      await browser.close();
    }
  });
});
