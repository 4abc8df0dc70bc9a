// Receipts and checkpoints: a customer who kept a checkpoint proves with no server that what it covers is
// whole, and finds what anybody altered or took away.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createPublicKey, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Api } from "../client/api.ts";
import { body, chain, executionId, seal, session, smallExecution } from "../client/batches.ts";
import { sha256 } from "../client/keys.ts";
import { ROOT, Worker, type Project } from "../fixtures/worker.ts";

const COMMAND = join(ROOT, "sdk-wasm", "bin", "stepseal.js");

let worker: Worker;
let project: Project;
let viewer: Api;
let folder: string;
let key: string;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_log");
  viewer = worker.api.withKey(project.viewerKey);
  folder = mkdtempSync(join(tmpdir(), "stepseal-log-"));
  key = (await page("/v1/checkpoints/key")).text.trim();
});

after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await worker.stop();
});

const send = (bytes: Uint8Array, of = project) => worker.api.sendBatch(seal(session(of.secret, of.id, of.kid), bytes));

async function page(path: string, apiKey = project.viewerKey) {
  const response = await fetch(worker.url + path, { headers: { authorization: `Bearer ${apiKey}` } });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function checkpoint(name: string): Promise<string> {
  await worker.runChores();
  const { status, text } = await page("/v1/checkpoints/latest");
  assert.equal(status, 200, text);
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

/** The command as customers run it. */
function stepseal(args: string[], env: Record<string, string> = {}): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    execFile(process.execPath, [COMMAND, ...args], { env: { ...process.env, ...env }, maxBuffer: 64 << 20 }, (error, stdout, stderr) => done({ code: Number(error?.code ?? 0), stdout, stderr }));
  });
}

async function exported(name: string): Promise<string> {
  const { code, stdout, stderr } = await stepseal(["export", worker.url], { STEPSEAL_KEY: project.viewerKey });
  assert.deepEqual([code, stderr], [0, ""]);
  const file = join(folder, name);
  writeFileSync(file, stdout);
  return file;
}

const lines = (file: string): any[] => readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

function rewritten(name: string, from: string, change: (lines: any[]) => any[]): string {
  const file = join(folder, name);
  writeFileSync(file, change(lines(from)).map((line) => `${JSON.stringify(line)}\n`).join(""));
  return file;
}

const publicKey = () => createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(key.split("+").slice(2).join("+"), "base64").subarray(1).toString("base64url") }, format: "jwk" });

describe("receipts", () => {
  test("anybody with the public key can check one", async () => {
    const x = executionId();
    const bytes = body(x, smallExecution());
    const { receipt } = (await send(bytes)).json;
    const [version, storedAt, signature] = receipt.split(".");
    assert.equal(version, "r2");
    const signed = (sha: string) => Buffer.from(`stepseal/receipt/v1\n${project.id}\n${x}\n\n0\n${sha}\n${storedAt}\n`);
    assert.ok(verify(null, signed(sha256(bytes, "hex")), publicKey(), Buffer.from(signature, "base64url")));
    assert.ok(!verify(null, signed(sha256(Buffer.from("other"), "hex")), publicKey(), Buffer.from(signature, "base64url")));
    assert.equal((await send(bytes)).json.receipt, receipt);
  });
});

describe("checkpoints", () => {
  test("there is none before the first batch, and one after", async () => {
    const own = await worker.createProject("prj_new_log");
    const api = worker.api.withKey(own.viewerKey);
    for (const path of ["/v1/checkpoints/latest", "/v1/export"]) {
      const reply = await api.get(path);
      assert.deepEqual([reply.status, reply.json.code], [404, "checkpoint_not_found"]);
    }
    await send(body(executionId(), smallExecution()), own);
    await worker.runChores();
    const note = (await page("/v1/checkpoints/latest", own.viewerKey)).text;
    assert.match(note, /^stepseal\/prj_new_log\n1\n[A-Za-z0-9+/]{43}=\n\n— stepseal\/prj_new_log [A-Za-z0-9+/]{90,}=*\n$/);
    const { checkpoints } = (await api.get("/v1/checkpoints")).json;
    assert.deepEqual(checkpoints.map(({ size, note }: any) => [size, note]), [[1, note]]);
    await worker.runChores();
    assert.equal((await api.get("/v1/checkpoints")).json.checkpoints.length, 1);
  });

  test("an export verifies against a kept checkpoint, old or new; deletions are accounted for", async () => {
    const x = executionId();
    for (const bytes of chain(x, [smallExecution().slice(0, 2), smallExecution().slice(2)])) await send(bytes);
    await send(gzipSync(body(executionId(), smallExecution())));
    await send(body(executionId(), [...smallExecution().slice(0, 3), { t: "log", n: 3, at: Date.now(), body: "x".repeat(100_000) }]));
    const old = await checkpoint("old.txt");
    await Promise.all(Array.from({ length: 20 }, () => send(body(executionId(), smallExecution()))));
    assert.equal((await worker.api.withKey(project.adminKey).request("DELETE", `/v1/executions/${x}`)).status, 200);
    const recent = await checkpoint("recent.txt");
    const file = await exported("export.ndjson");
    const { code, stdout, stderr } = await stepseal(["verify", file, "--checkpoint", old, "--checkpoint", recent, "--key", key]);
    assert.deepEqual([code, stderr], [0, ""]);
    const [head, ...entries] = lines(file);
    assert.deepEqual([head.t, head.project, head.checkpoint], ["export", project.id, readFileSync(recent, "utf8")]);
    assert.equal(stdout, `verified: ${entries.length} log entries, ${entries.length - 3} batches present, 2 deleted\n`);
    assert.equal((await viewer.all("/v1/checkpoints?limit=1", "checkpoints")).length, 3);
    const { json } = await worker.api.withKey(project.adminKey).get("/v1/audit?action=project.export");
    assert.equal(json.entries.length, 1);
  });

  test("pages put together are the export", async () => {
    let [path, text]: [string | undefined, string] = ["/v1/export?limit=3", ""];
    while (path !== undefined) {
      const got: Awaited<ReturnType<typeof page>> = await page(path);
      assert.deepEqual([got.status, got.headers.get("content-type")], [200, "application/x-ndjson"]);
      text += got.text;
      path = /^<([^>]+)>; rel="next"$/.exec(got.headers.get("link") ?? "")?.[1];
    }
    assert.equal(text, readFileSync(await exported("whole.ndjson"), "utf8"));
  });

  describe("what anybody altered shows", () => {
    let file: string;
    let kept: string;
    before(async () => {
      kept = await checkpoint("kept.txt");
      file = await exported("untouched.ndjson");
    });
    const verified = (from: string, checkpointFile = kept, withKey = key) => stepseal(["verify", from, "--checkpoint", checkpointFile, "--key", withKey]);
    const firstBatch = (all: any[]) => all.findIndex(({ t }) => t === "batch");

    const changes: [string, (all: any[]) => any[], RegExp][] = [
      ["a body", (all) => all.with(firstBatch(all), { ...all[firstBatch(all)], body: Buffer.from("other").toString("base64") }), /is not the one that was stored/],
      ["a body and its digest", (all) => all.with(firstBatch(all), { ...all[firstBatch(all)], body: Buffer.from("other").toString("base64"), sha256: sha256(Buffer.from("other"), "hex") }), /are not those that checkpoint .* covers/],
      ["an envelope", (all) => all.with(firstBatch(all), { ...all[firstBatch(all)], envelope: "b1 forged" }), /are not those that checkpoint/],
      ["a batch's execution", (all) => all.with(firstBatch(all), { ...all[firstBatch(all)], x: executionId() }), /are not those that checkpoint/],
      ["an entry in the middle", (all) => all.toSpliced(5, 1), /entry 4 is missing/],
      ["the end", (all) => all.slice(0, -1), /covers \d+ entries; the export has \d+/],
      ["a deletion", (all) => all.map((line) => (line.t === "deletion" ? { ...line, x: executionId() } : line)), /no deletion of .* is in the log/],
      ["the export's own checkpoint", ([head, ...rest]) => [{ ...head, checkpoint: head.checkpoint.replace(/\n\d+\n/, "\n1\n") }, ...rest], /own checkpoint has a wrong signature/],
      ["entries beyond the checkpoint", (all) => [...all, { t: "deletion", i: all.length - 1, x: "run_added" }], /beyond every checkpoint/],
    ];
    for (const [what, change, complaint] of changes) {
      test(what, async () => {
        const { code, stdout, stderr } = await verified(rewritten("altered.ndjson", file, change));
        assert.equal(code, 1, stdout);
        assert.match(stderr, complaint);
      });
    }

    test("the store itself: a batch removed without a deletion", async () => {
      const database = await worker.database();
      const { x } = lines(file).find(({ t }) => t === "batch");
      await database.prepare("DELETE FROM segments WHERE execution_id = ?1").bind(x).run();
      const removed = await verified(await exported("removed.ndjson"));
      assert.deepEqual([removed.code, /no deletion of/.test(removed.stderr)], [1, true], removed.stderr);
    });

    test("a checkpoint by another key, a mistyped key, wrong usage", async () => {
      const own = await worker.createProject("prj_other_log");
      const foreign = (await page("/v1/checkpoints/key", own.viewerKey)).text.trim();
      assert.match((await verified(file, kept, foreign)).stderr, /is not signed by this key/);
      const mistyped = await verified(file, kept, key.replace(/.{6}$/, "AAAAA="));
      assert.equal(mistyped.code, 2);
      for (const args of [[], ["verify", file], ["frobnicate", "x"], ["verify", file, "--nonsense"]]) {
        const { code, stderr } = await stepseal(args);
        assert.equal(code, 2);
        assert.match(stderr, /Usage:/);
      }
      assert.equal((await stepseal(["export", "http://example.com"], { STEPSEAL_KEY: "x" })).code, 2);
    });
  });
});

test("a leaf that is taken away before it is signed stops that log, says so, and no other's", async () => {
  const own = await Worker.start();
  try {
    const [touched, sound] = [await own.createProject("prj_a_touched"), await own.createProject("prj_b_sound")];
    for (const each of [touched, touched, touched, sound]) {
      assert.equal((await own.api.sendBatch(seal(session(each.secret, each.id, each.kid), body(executionId(), smallExecution())))).json.code, "stored");
    }
    const database = await own.database();
    await database.prepare("DELETE FROM leaves WHERE project_id = ?1 AND seq = 1").bind(touched.id).run();
    await own.runChores();
    assert.equal((await own.api.withKey(touched.viewerKey).get("/v1/checkpoints/latest")).json.code, "checkpoint_not_found");
    assert.equal((await own.api.withKey(sound.viewerKey).get("/v1/checkpoints")).json.checkpoints.length, 1);
    assert.match(own.log.join(""), /fault chore="checkpoints" doing="making a checkpoint" cause="leaf 1 is missing"/);
  } finally {
    await own.stop({ expectFaults: true });
  }
});
