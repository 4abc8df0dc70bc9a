// `npx stepseal export`, `import` and `verify` out of the packed package, against a real worker and a network that fails.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { armor, Decrypter, generateIdentity, identityToRecipient } from "age-encryption";
import { record } from "../client/recorded.ts";
import { exported, lines, page } from "../client/transfer.ts";
import { Worker, type Project } from "../fixtures/worker.ts";
import { Installation } from "../packaging/installation.ts";

const NOW = Date.now();
const LIST = "/v1/export/executions.ndjson";
const COUNT = 45;

let installed: Installation;
let worker: Worker;
let project: Project;
let gate: Gate;
let folder: string;
let key: string;

before(async () => {
  installed = new Installation();
  folder = mkdtempSync(join(tmpdir(), "stepseal-transfer-"));
  worker = await Worker.start();
  project = await worker.createProject("prj_moved");
  await record(worker.api, project, Array.from({ length: COUNT }, (_, n) => ({ at: NOW - n * 1_000, user: n < 3 ? "ann" : "bob", agent: "travel" })));
  await worker.runChores();
  key = (await page(viewer(), "/v1/checkpoints/key")).text.trim();
  gate = await Gate.open(worker.url);
});

afterEach(() => gate?.letAll());

after(async () => {
  await gate?.close();
  await worker.stop();
  installed.remove();
  rmSync(folder, { recursive: true, force: true });
});

const viewer = () => worker.api.withKey(project.viewerKey);
const file = (name: string) => join(folder, name);
const text = (name: string) => readFileSync(file(name), "utf8");

/** What becomes of a request. */
type Fate = "pass" | "drop" | "hang" | "busy";

/** What stands before the worker, and may drop a request or leave it without an answer. */
class Gate {
  /** Says of the n-th request, from 1, what becomes of it. */
  #fate: (n: number) => Fate = () => "pass";
  #count = 0;
  #reached: (() => void) | undefined;
  #server: Server;
  url: string;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async open(target: string): Promise<Gate> {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const gate = new Gate(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on("request", (incoming, outgoing) => {
      const fate = gate.#fate(++gate.#count);
      if (fate !== "pass") gate.#reached?.();
      if (fate === "drop") return void incoming.socket.destroy();
      if (fate === "hang") return;
      if (fate === "busy") return void outgoing.writeHead(503, { "content-type": "application/problem+json", "retry-after": "1" }).end('{"code":"storage_unavailable","detail":"Try again."}');
      const { host: _, connection: __, ...headers } = incoming.headers;
      const forwarded = httpRequest(target + incoming.url, { method: incoming.method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      });
      forwarded.on("error", () => outgoing.destroy());
      incoming.pipe(forwarded);
    });
    return gate;
  }

  /** From now on; resolves when a request did not pass. */
  let(fate: (n: number) => Fate): Promise<void> {
    [this.#fate, this.#count] = [fate, 0];
    return new Promise((done) => (this.#reached = done));
  }

  letAll(): void {
    this.#fate = () => "pass";
  }

  get count(): number {
    return this.#count;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}

type Run = { code: number | null; out: string; err: string };

function start(args: string[], apiKey = project.viewerKey, input?: string) {
  const child = spawn(process.execPath, [join(installed.package, "bin", "stepseal.js"), ...args], { cwd: folder, env: { PATH: process.env.PATH!, HOME: folder, STEPSEAL_KEY: apiKey } });
  const run: Run = { code: null, out: "", err: "" };
  child.stdout.on("data", (chunk) => (run.out += chunk));
  child.stderr.on("data", (chunk) => (run.err += chunk));
  child.stdin.on("error", () => {}).end(input);
  return { child, done: new Promise<Run>((resolve) => child.on("close", (code) => resolve({ ...run, code }))) };
}

const run = (args: string[], apiKey?: string, input?: string) => start(args, apiKey, input).done;

describe("export", () => {
  test("writes each format, to a file or to standard output, as the API gives it", async () => {
    const from = String(NOW - 86_400_000);
    for (const [format, path] of [["log", "/v1/export"], ["ndjson", `${LIST}?from=${from}`], ["csv", `/v1/export/executions.csv?from=${from}`], ["otlp", `/v1/export/traces.jsonl?from=${from}`]] as const) {
      const options = format === "log" ? [] : ["--from", from];
      const out = await run(["export", worker.url, "--format", format, ...options]);
      assert.deepEqual([out.code, out.err], [0, ""], format);
      assert.equal(out.out, await exported(viewer(), path));
      const written = await run(["export", worker.url, "--format", format, ...options, "--output", `whole.${format}`]);
      assert.deepEqual([written.code, written.out, text(`whole.${format}`)], [0, "", out.out]);
      assert.equal(statSync(file(`whole.${format}`)).mode & 0o077, 0);
      assert.deepEqual([".part", ".part.json"].filter((end) => existsSync(file(`whole.${format}${end}`))), []);
    }
    const some = await run(["export", worker.url, "--user", "ann"]);
    assert.equal(lines(some.out).length, 1 + 3);
    const one = await run(["export", worker.url, "--execution", JSON.parse(lines(some.out)[1]!).x, "--format", "otlp"]);
    assert.equal(lines(one.out).length, 2);
  });

  test("interrupted or killed it goes on, and the file is what an uncut one is", async () => {
    const args = ["export", gate.url, "--format", "ndjson", "--from", String(NOW - 86_400_000), "--output", "cut.ndjson"];
    for (const [n, signal, code] of [[2, "SIGINT", 130], [2, "SIGKILL", null]] as const) {
      const hangs = gate.let((count) => (count >= n ? "hang" : "pass"));
      const { child, done } = start(args);
      await hangs;
      child.kill(signal);
      assert.equal((await done).code, code);
      assert.ok(existsSync(file("cut.ndjson.part")) && !existsSync(file("cut.ndjson")));
    }
    // What a run wrote and did not note is taken back.
    writeFileSync(file("cut.ndjson.part"), "half a line", { flag: "a" });
    gate.letAll();
    const last = await run(args);
    assert.deepEqual([last.code, /going on with cut.ndjson.part after \d+ kB/.test(last.err)], [0, true], last.err);
    assert.equal(text("cut.ndjson"), await exported(viewer(), `${LIST}?from=${NOW - 86_400_000}`));
    assert.ok(!existsSync(file("cut.ndjson.part.json")));
  });

  test("another export does not go on with it", async () => {
    const hangs = gate.let((n) => (n === 2 ? "hang" : "pass"));
    const { child, done } = start(["export", gate.url, "--format", "ndjson", "--output", "mixed.ndjson"]);
    await hangs;
    child.kill("SIGINT");
    await done;
    const other = await run(["export", gate.url, "--format", "ndjson", "--user", "ann", "--output", "mixed.ndjson"]);
    assert.deepEqual([other.code, /mixed.ndjson.part is of another export/.test(other.err)], [2, true]);
  });

  test("goes on over dropped connections and a server that is busy, and gives up on what does not pass", async () => {
    gate.let((n) => (n === 2 ? "drop" : n === 3 ? "busy" : "pass"));
    const got = await run(["export", gate.url, "--format", "ndjson", "--from", String(NOW - 86_400_000)]);
    assert.deepEqual([got.code, got.err.match(/trying again/g)?.length], [0, 2], got.err);
    assert.equal(got.out, text("cut.ndjson"));
    const refused = await run(["export", gate.url, "--format", "ndjson", "--status", "done"]);
    assert.deepEqual([refused.code, /parameter_invalid \(status\)/.test(refused.err), /trying again/.test(refused.err)], [3, true, false]);
    const nowhere = await run(["export", "http://127.0.0.1:9"]);
    assert.deepEqual([nowhere.code, /fetch failed/.test(nowhere.err)], [2, true]);
  });

  test("encrypted to a recipient it goes on as well, and opens to the plain one", async () => {
    const identity = await generateIdentity();
    const args = ["export", gate.url, "--format", "ndjson", "--from", String(NOW - 86_400_000), "--recipient", await identityToRecipient(identity), "--output", "sealed.age"];
    const hangs = gate.let((n) => (n === 2 ? "hang" : "pass"));
    const { child, done } = start(args);
    await hangs;
    child.kill("SIGKILL");
    await done;
    gate.letAll();
    assert.equal((await run(args)).code, 0);
    const files = text("sealed.age").match(/-----BEGIN[^]*?-----END AGE ENCRYPTED FILE-----\n/g) ?? [];
    assert.equal(files.join(""), text("sealed.age"));
    const decrypter = new Decrypter();
    decrypter.addIdentity(identity);
    const plain = await Promise.all(files.map((sealed) => decrypter.decrypt(armor.decode(sealed), "text")));
    assert.equal(plain.join(""), text("cut.ndjson"));
    const encrypted = await run(["import", worker.url, "sealed.age"], project.adminKey);
    assert.deepEqual([encrypted.code, /decrypt it first/.test(encrypted.err)], [2, true]);
  });

  test("used wrongly it says what to do", async () => {
    for (const [args, code, says] of [
      [["--output", "whole.log"], 2, "is there already"], [["--format", "xml"], 2, "--format is one of"], [["--format", "log", "--user", "ann"], 2, "filters go with"],
      [["--format", "csv", "--execution", "run_0000000000000000"], 2, "--execution goes with"], [["--execution", "run_0000000000000000"], 3, "execution_not_found"], [["--recipient", "nobody"], 3, "parameter_invalid (recipient)"],
    ] as [string[], number, string][]) {
      const got = await run(["export", worker.url, ...args]);
      assert.deepEqual([got.code, got.err.includes(says)], [code, true], `${args.join(" ")}: ${got.err.slice(0, 300)}`);
    }
    assert.equal((await run(["export", worker.url, "--output", "whole.log", "--force"])).code, 0);
  });
});

describe("import", () => {
  test("takes an export, says what came of its lines, and changes nothing the second time", async () => {
    const into = await worker.createProject("prj_moved_in");
    const first = await run(["import", worker.url, "whole.log"], into.adminKey);
    assert.deepEqual([first.code, lines(first.out).map((line) => JSON.parse(line))], [0, [{ code: "no_batch", lines: 1 }, { code: "stored", lines: COUNT }]], first.err);
    const again = await run(["import", worker.url, "-"], into.adminKey, text("whole.ndjson"));
    assert.deepEqual([again.code, lines(again.out).map((line) => JSON.parse(line))], [0, [{ code: "no_batch", lines: 1 }, { code: "duplicate", lines: COUNT }]]);
    const [verdict] = JSON.parse(lines((await run(["list", worker.url, "--limit", "1"], into.viewerKey)).out)[0]!).id.match(/run_\w+/);
    const verified = await run(["verify", worker.url, verdict], into.viewerKey);
    assert.deepEqual([verified.code, verified.err, JSON.parse(lines(verified.out)[0]!).verdict], [0, "verified\n", "verified"]);
    const operator = await run(["import", worker.url, "whole.ndjson", "--project", into.id], worker.operatorKey);
    assert.equal(operator.code, 0, operator.err);
  });

  test("interrupted it goes on behind what it sent", async () => {
    const into = await worker.createProject("prj_moved_cut");
    const hangs = gate.let((n) => (n === 4 ? "hang" : "pass"));
    const { child, done } = start(["import", gate.url, "whole.ndjson"], into.adminKey);
    await hangs;
    child.kill("SIGINT");
    assert.equal((await done).code, 130);
    assert.ok(existsSync(file("whole.ndjson.import.json")));
    gate.let((n) => (n === 2 ? "drop" : "pass"));
    const { code, out, err } = await run(["import", gate.url, "whole.ndjson"], into.adminKey);
    assert.deepEqual([code, /going on after line 24/.test(err), lines(out).map((line) => JSON.parse(line))], [0, true, [{ code: "no_batch", lines: 1 }, { code: "stored", lines: COUNT }]], err);
    assert.equal(gate.count, Math.ceil((COUNT + 1 - 24) / 8) + 1);
    assert.ok(!existsSync(file("whole.ndjson.import.json")));
  });

  test("names each line that is refused, and why", async () => {
    const into = await worker.createProject("prj_moved_bad");
    const all = lines(text("whole.ndjson"));
    all[9] = "nonsense";
    all[12] = JSON.stringify({ ...JSON.parse(all[12]!), subject: "somebody" });
    all[20] = JSON.stringify({ t: "batch", pad: "x".repeat(2_000_000) });
    writeFileSync(file("bad.ndjson"), all.join("\n"));
    const { code, out, err } = await run(["import", worker.url, "bad.ndjson"], into.adminKey);
    assert.equal(code, 1);
    assert.match(err, /^line 10: line_malformed \(t\): .+\nline 13: line_malformed \(subject\): .+\nline 21: line_too_long: .+\n$/);
    assert.deepEqual(Object.fromEntries(lines(out).map((line) => JSON.parse(line)).map(({ code, lines }) => [code, lines])), { no_batch: 1, stored: COUNT - 3, line_malformed: 2, line_too_long: 1 });
    for (const [args, key, exit, says] of [
      [["import", worker.url, "absent.ndjson"], into.adminKey, 2, "cannot be read"], [["import", worker.url, "bad.ndjson"], into.viewerKey, 3, "role_insufficient"],
      [["import", worker.url, "bad.ndjson", "--key", "a+b+c"], into.adminKey, 3, "parameter_invalid (key)"], [["import", worker.url], into.adminKey, 2, "2 operands"],
    ] as [string[], string, number, string][]) {
      const got = await run(args, key);
      assert.deepEqual([got.code, got.err.includes(says)], [exit, true], `${args.join(" ")}: ${got.err.slice(0, 200)}`);
    }
  });
});

describe("verify", () => {
  test("an export of executions is what the log attested, or it shows", async () => {
    const good = await run(["verify", "whole.ndjson", "--key", key]);
    assert.deepEqual([good.code, good.out], [0, `verified: ${COUNT} batches, each as the log attested it\n`], good.err);
    const all = lines(text("whole.ndjson")).map((line) => JSON.parse(line));
    for (const [change, says] of [
      [{ received_at: 5 }, "did not attest"], [{ envelope: "b1 x" }, "did not attest"], [{ body: Buffer.from("other").toString("base64") }, "is not the one that was stored"],
      [{ attestation: undefined }, "did not attest"], [{ body: null }, "has no body"], [{ key: key.replace("moved", "other") }, "is attested by"],
    ] as [object, string][]) {
      writeFileSync(file("altered.ndjson"), all.with(3, { ...all[3], ...change }).map((line) => JSON.stringify(line)).join("\n"));
      const { code, out, err } = await run(["verify", "altered.ndjson", "--key", key]);
      assert.deepEqual([code, out, err.includes(says)], [1, "TAMPERED OR INCOMPLETE: 1 fault\n", true], err);
    }
  });

  test("an export of the log needs a checkpoint", async () => {
    const { code, err } = await run(["verify", "whole.log", "--key", key]);
    assert.deepEqual([code, /against a --checkpoint/.test(err)], [2, true]);
  });

  test("an execution that is not whole or not there says so", async () => {
    const into = await worker.createProject("prj_moved_open");
    const [id] = await record(worker.api, into, [{ at: NOW, status: "running" }]);
    const open = await run(["verify", worker.url, id!], into.viewerKey);
    assert.deepEqual([open.code, open.err], [1, "some writer never said its last number\nincomplete\n"]);
    assert.equal((await run(["verify", worker.url, "run_0000000000000000"], into.viewerKey)).code, 3);
  });
});
