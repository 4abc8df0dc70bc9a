// `npx stepseal` against a real worker, as another process runs it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { record } from "../client/recorded.ts";
import { ROOT, Worker, type Project } from "../fixtures/worker.ts";

const CLI = join(ROOT, "sdk-wasm", "bin", "stepseal.js");
const NOW = Date.now();

let worker: Worker;
let project: Project;
let ids: string[];
let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "stepseal-cli-"));
  worker = await Worker.start();
  project = await worker.createProject("prj_cli");
  ids = await record(worker.api, project, [{ at: NOW, user: "ann" }, { at: NOW - 1_000, user: "bob", status: "failed" }, { at: NOW - 2_000, user: "bob" }]);
});

after(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Run = { code: number | null; out: string; err: string };

function start(args: string[], env: Record<string, string> = { STEPSEAL_KEY: project.viewerKey }) {
  const child = spawn(process.execPath, [CLI, ...args], { env: { PATH: process.env.PATH!, HOME: folder, ...env } });
  const run: Run = { code: null, out: "", err: "" };
  child.stdout.on("data", (chunk) => (run.out += chunk));
  child.stderr.on("data", (chunk) => (run.err += chunk));
  const done = new Promise<Run>((resolve) => child.on("close", (code) => resolve({ ...run, code })));
  return { child, run, done };
}

const lines = (text: string) => text.trimEnd().split("\n").filter(Boolean).map((line) => JSON.parse(line));

test("list gives NDJSON in a pipe, by the API's filters", async () => {
  const all = await start(["list", worker.url]).done;
  assert.equal(all.code, 0, all.err);
  assert.deepEqual(lines(all.out).map(({ id }) => id), ids);
  const some = await start(["list", worker.url, "--user", "bob", "--status", "failed"]).done;
  assert.deepEqual(lines(some.out).map(({ id }) => id), [ids[1]]);
  await worker.api.withKey(project.adminKey).request("POST", `/v1/executions/${ids[0]}/scores`, JSON.stringify({ id: "a", name: "helpful", value: 0.75 }));
  for (const [least, found] of [["0.75", [ids[0]]], ["0.8", []]] as const) {
    const scored = await start(["list", worker.url, "--score", "helpful", "--min-score", least]).done;
    assert.deepEqual(lines(scored.out).map(({ id }) => id), found);
  }
  const words = await start(["list", worker.url, "--text", "book"]).done;
  assert.deepEqual([words.code, words.err.includes("not searched by words")], [3, true], words.err);
  const one = await start(["list", worker.url, "--limit", "1", "--sort", "duration", "--from", new Date(NOW - 86_400_000).toISOString()]).done;
  assert.equal(lines(one.out).length, 1);
});

test("show gives an execution and its steps", async () => {
  const { code, out } = await start(["show", worker.url, ids[0]!]).done;
  const [execution, ...steps] = lines(out);
  assert.deepEqual([code, execution.id, steps.map(({ name }) => name)], [0, ids[0], ["plan", "search"]]);
});

test("tail follows what is stored", async () => {
  const { child, run, done } = start(["tail", worker.url, "--user", "carla"]);
  let id: string | undefined;
  // Following begins when the process has connected, which it does not say.
  for (let attempt = 0; attempt < 40 && run.out === ""; attempt++) {
    [id] = await record(worker.api, project, [{ at: NOW, user: "carla" }]);
    await new Promise((wake) => setTimeout(wake, 250));
  }
  child.kill();
  await done;
  assert.ok(lines(run.out).length > 0 && id, run.err);
  assert.equal(lines(run.out)[0].execution.user, "carla");
});

test("export writes a table", async () => {
  const { code, out } = await start(["export", worker.url, "--csv", "--user", "ann"]).done;
  const [header, row, ...rest] = out.trimEnd().split("\r\n");
  assert.deepEqual([code, header!.split(",")[0], row!.startsWith(`"${ids[0]}"`), rest.length], [0, "id", true, 0]);
});

test("the key may come from a file that nobody else can read, and from nowhere else", async () => {
  const file = join(folder, "key");
  writeFileSync(file, `${project.viewerKey}\n`, { mode: 0o600 });
  assert.equal((await start(["list", worker.url], { STEPSEAL_KEY_FILE: file }).done).code, 0);
  chmodSync(file, 0o644);
  const open = await start(["list", worker.url], { STEPSEAL_KEY_FILE: file }).done;
  assert.deepEqual([open.code, open.err.includes("chmod 600")], [2, true]);
  const none = await start(["list", worker.url], {}).done;
  assert.deepEqual([none.code, none.err.startsWith("set STEPSEAL_KEY")], [2, true]);
});

test("what goes wrong has its exit code, and no key in it", async () => {
  for (const [args, env, code, says] of [
    [["list", worker.url, "--status", "done"], undefined, 3, "parameter_invalid (status)"],
    [["show", worker.url, "run_0000000000000000"], undefined, 3, "execution_not_found"],
    [["list", worker.url], { STEPSEAL_KEY: "nonsense" }, 3, "credential_invalid"],
    [["list", "http://example.com"], undefined, 2, "over https only"],
    [["list", "nowhere"], undefined, 2, "no URL"],
    [["steal", worker.url], undefined, 2, "no command steal"],
    [["list"], undefined, 2, "one operand"],
    [["list", worker.url, "--colour"], undefined, 2, "Unknown option"],
    [["list", "http://127.0.0.1:9"], undefined, 2, "fetch failed"],
  ] as [string[], Record<string, string> | undefined, number, string][]) {
    const run = await start(args, env).done;
    assert.deepEqual([run.code, run.err.includes(says)], [code, true], `${args.join(" ")}: ${run.err.slice(0, 200)}`);
    assert.ok(!run.err.includes(project.viewerKey));
  }
});
