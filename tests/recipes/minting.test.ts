// The recipes as a backend runs them: each mints a session, and the real worker takes a batch under it. One whose
// interpreter is not installed is skipped by name.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { body, executionId, seal, smallExecution } from "../client/batches.ts";
import { sessionKey } from "../client/keys.ts";
import { ROOT, Worker, type Project } from "../fixtures/worker.ts";

const ORIGIN = "https://app.example.com";
const isInstalled = (command: string, argument: string) => spawnSync(command, [argument]).status === 0;

const recipes: { name: string; command: string; args: string[]; version: string }[] = [
  { name: "Node", command: process.execPath, args: ["mint_session.mjs"], version: "--version" },
  { name: "Python", command: "python3", args: ["mint_session.py"], version: "--version" },
  { name: "Go", command: "go", args: ["run", "mint_session.go"], version: "version" },
  { name: "Deno", command: "deno", args: ["run", "--allow-env", "--allow-read", "--node-modules-dir=manual", "mint_session.mjs"], version: "--version" },
  { name: "Bun", command: "bun", args: ["run", "mint_session.mjs"], version: "--version" },
];

let worker: Worker;
let project: Project;
let folder: string;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_recipes");
  folder = mkdtempSync(join(tmpdir(), "stepseal-recipes-"));
  cpSync(join(ROOT, "recipes"), folder, { recursive: true });
  mkdirSync(join(folder, "node_modules"));
  cpSync(join(ROOT, "sdk-wasm", "pkg"), join(folder, "node_modules", "stepseal"), { recursive: true });
});

after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await worker.stop();
});

const environment = (more: Record<string, string> = {}) => ({
  PATH: process.env.PATH, HOME: folder, GOCACHE: join(folder, "go"), GO111MODULE: "off", STEPSEAL_PROJECT: project.id, STEPSEAL_KID: project.kid,
  STEPSEAL_PROJECT_SECRET: project.projectSecret, SUBJECT: "user_42", ORIGIN, ...more,
});

for (const { name, command, args, version } of recipes) {
  describe(name, { skip: isInstalled(command, version) ? false : `${command} is not installed` }, () => {
    test("mints a session that the worker takes, for its origin and subject", async () => {
      const minted = JSON.parse(execFileSync(command, args, { cwd: folder, env: environment(), encoding: "utf8" }));
      const key = new Uint8Array(Buffer.from(minted.key, "base64"));
      assert.deepEqual(key, sessionKey(project.secret, minted.token));
      assert.ok(Math.abs(minted.server_time - Date.now()) < 60_000);
      assert.ok(minted.expires_at - minted.server_time > 890_000 && minted.expires_at - minted.server_time <= 900_000);
      const x = executionId();
      const sealed = seal({ token: minted.token, key }, body(x, smallExecution()));
      assert.equal((await worker.api.sendBatch(sealed)).json.code, "origin_mismatch");
      assert.equal((await worker.api.sendBatch(sealed, { origin: ORIGIN })).json.code, "stored");
      const { execution } = (await worker.api.withKey(project.viewerKey).get(`/v1/executions/${x}`)).json;
      assert.deepEqual([execution.subject, execution.provenance], ["user_42", "backend"]);
    });

    test("refuses a secret that is none, and does not repeat it", () => {
      const wrong = `whsec_${"QUJD".repeat(4)}`;
      const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, env: environment({ STEPSEAL_PROJECT_SECRET: wrong }), encoding: "utf8" });
      assert.notEqual(status, 0);
      assert.ok(!(stdout + stderr).includes(wrong));
    });
  });
}
