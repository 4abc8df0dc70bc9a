// Exports and imports: a file is the same wherever it was cut, and what comes back from one is what went out.

import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, hkdfSync, sign as signText, verify as verifySignature } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Api } from "../client/api.ts";
import { batchId, body, chain, executionId, nowS, seal, session, smallExecution, stepId, type Event } from "../client/batches.ts";
import { sha256, sign } from "../client/keys.ts";
import { batches, exported, imported, importSlice, lines, nextOf, page, pages } from "../client/transfer.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const LIST = "/v1/export/executions.ndjson";
const NOW = Date.now();

let worker: Worker;
let project: Project;
let viewer: Api;
let ids: Record<"small" | "zipped" | "chained" | "joined" | "large" | "running" | "server", string>;
let file: string;
let key: string;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_out");
  viewer = worker.api.withKey(project.viewerKey);
  ids = await recordEverything();
  file = await exported(viewer, LIST);
  key = (await page(viewer, "/v1/checkpoints/key")).text.trim();
});

after(() => worker.stop());

async function stored(bytes: Uint8Array, claims: object = {}): Promise<void> {
  const { json } = await worker.api.sendBatch(seal(session(project.secret, project.id, project.kid, claims), bytes));
  assert.equal(json.code, "stored", JSON.stringify(json));
}

/** An execution of each kind that is stored otherwise than the rest. */
async function recordEverything(): Promise<typeof ids> {
  const made = { small: executionId(), zipped: executionId(), chained: executionId(), joined: executionId(), large: executionId(), running: executionId(), server: executionId() };
  await stored(body(made.small, smallExecution(NOW)));
  await stored(gzipSync(body(made.zipped, smallExecution(NOW - 1_000))));
  for (const bytes of chain(made.chained, [smallExecution(NOW - 2_000).slice(0, 2), smallExecution(NOW - 2_000).slice(2)])) await stored(bytes);
  // Begun by an anonymous writer whose name sorts last, gone on with by the same person signed in.
  const [start, ...rest] = smallExecution(NOW - 3_000) as [Event, ...Event[]];
  await stored(body(made.joined, [start], { w: "zz", fin: true }), { sub: "o_anonymous" });
  await stored(body(made.joined, rest.map((event, n) => ({ ...event, n, ...(event.t === "end" ? { last: n } : {}) }))), { sub: "user_1", was: ["o_anonymous"] });
  await stored(body(made.large, [...smallExecution(NOW - 4_000).slice(0, 3), { t: "log", n: 3, at: NOW, body: "x".repeat(100_000) }]));
  await stored(body(made.running, [...smallExecution(NOW - 5_000).slice(0, 2), { t: "open", n: 2, id: stepId(), kind: "tool", name: "wait", at: NOW - 4_990 }]));
  const bytes = body(made.server, smallExecution(NOW - 6_000), { sub: "backend_user" });
  const [id, ts] = [batchId(), nowS()];
  const headers = { "webhook-id": id, "webhook-timestamp": String(ts), "webhook-signature": sign(project.secret, id, ts, bytes), "stepseal-key": `${project.id}.${project.kid}` };
  assert.equal((await worker.api.request("POST", "/v1/server/batches", new Uint8Array(bytes), headers)).json.code, "stored");
  return made;
}

/** What readers see of an execution, but who reads it and when it changed hands. */
async function seen(api: Api, id: string) {
  const [shown, steps, verified] = await Promise.all(["", "/steps", "/verify"].map((rest) => api.get(`/v1/executions/${id}${rest}`)));
  const { writers, ...execution } = shown!.json.execution;
  return {
    execution, steps: steps!.json.steps, verdict: verified!.json.verdict, summary: verified!.json.summary, tail: verified!.json.tail_unknown,
    writers: writers.map(({ imported: _, ...rest }: any) => rest), batches: verified!.json.batches.map(({ imported: _, ...rest }: any) => rest),
  };
}

/** A line's attestation by Node's own crypto, under the key of a project's log. */
function attestation(root: Uint8Array, of: string, { x, w, k, sha256: digest, received_at, provenance, subject, envelope }: any): string {
  const seed = Buffer.from(hkdfSync("sha256", root, "", `stepseal/signing/v1\0${of}`, 32));
  const signingKey = createPrivateKey({ key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]), format: "der", type: "pkcs8" });
  const content = sha256(Buffer.concat([Buffer.from(digest, "hex"), Buffer.from(sha256(Buffer.from(envelope), "hex"), "hex")]), "hex");
  const text = `stepseal/export/v1\n${of}\n${x}\n${w}\n${k}\n${content}\n${received_at}\n${provenance}\n${subject}\n`;
  return signText(null, Buffer.from(text), signingKey).toString("base64url");
}

/** The same with batches of a root that nobody holds. */
const unheld = (text: string) => text.replaceAll(new RegExp(`${project.id}\\.${project.kid}(?=[. ])`, "g"), `${project.id}.k9`);

const stats = async (api: Api) => {
  const { total, groups } = (await api.get("/v1/stats?group_by=name")).json;
  return { total, groups };
};

describe("export", () => {
  test("holds every batch of a list, newest execution first, attested", () => {
    const [head, ...rest] = lines(file).map((line) => JSON.parse(line));
    assert.deepEqual(head, { t: "export", v: 1, project: project.id, key });
    assert.deepEqual([...new Set(rest.map(({ x }) => x))], [ids.small, ids.zipped, ids.chained, ids.joined, ids.large, ids.running, ids.server]);
    assert.equal(rest.length, 9);
    const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(key.split("+").slice(2).join("+"), "base64").subarray(1).toString("base64url") }, format: "jwk" });
    for (const { x, w, k, sha256: digest, received_at, provenance, subject, envelope, attestation } of rest) {
      const content = sha256(Buffer.concat([Buffer.from(digest, "hex"), Buffer.from(sha256(Buffer.from(envelope), "hex"), "hex")]), "hex");
      const text = `stepseal/export/v1\n${project.id}\n${x}\n${w}\n${k}\n${content}\n${received_at}\n${provenance}\n${subject}\n`;
      assert.ok(verifySignature(null, Buffer.from(text), publicKey, Buffer.from(attestation, "base64url")), x);
    }
  });

  test("is byte for byte the same wherever it is cut", async () => {
    for (const limit of [1, 2, 3]) {
      const cut = await pages(viewer, `${LIST}?limit=${limit}`);
      assert.ok(cut.length > 2, `${cut.length} pages`);
      assert.equal(cut.join(""), file);
    }
    // A client that died goes on from the last page that it has whole.
    const first = await page(viewer, `${LIST}?limit=2`);
    assert.equal(first.text + await exported(viewer, nextOf(first)!), file);
  });

  test("is of what the list's filters name, or of one execution", async () => {
    assert.deepEqual([...new Set(batches(await exported(viewer, `${LIST}?status=running`)).map(({ x }) => x))], [ids.large, ids.running]);
    const one = await exported(viewer, `${LIST}?execution=${ids.chained}`);
    assert.deepEqual(batches(one).map(({ x, k }) => [x, k]), [[ids.chained, 0], [ids.chained, 1]]);
    assert.ok(lines(one).every((line) => file.includes(line)));
    assert.deepEqual(batches(await exported(viewer, `${LIST}?to=1000`)), []);
  });

  test("a long execution is cut within, and whole again", async () => {
    const own = await worker.createProject("prj_long");
    const sender = session(own.secret, own.id, own.kid);
    const id = executionId();
    const events: Event[][] = Array.from({ length: 70 }, (_, n) => [{ t: "log", n, at: NOW, body: `line ${n}` }]);
    for (const bytes of chain(id, events)) assert.equal((await worker.api.sendBatch(seal(sender, bytes))).json.code, "stored");
    const reader = worker.api.withKey(own.viewerKey);
    const cut = await pages(reader, `${LIST}?execution=${id}`);
    assert.equal(cut.length, 3);
    assert.deepEqual(batches(cut.join("")).map(({ k }) => k), events.map((_, k) => k));
    assert.equal(await exported(reader, `${LIST}?from=0`), cut.join(""));
  });

  test("refuses what it does not know, naming it", async () => {
    const elsewhere = await worker.createProject("prj_no_export");
    for (const [query, status, code, field] of [
      ["?offset=1", 400, "parameter_unknown", "offset"], ["?sort=cost", 400, "parameter_unknown", "sort"], ["?fields=id", 400, "parameter_unknown", "fields"],
      ["?limit=0", 400, "parameter_invalid", "limit"], ["?status=done", 400, "parameter_invalid", "status"], ["?execution=x", 400, "parameter_invalid", "execution"],
      [`?execution=${ids.small}&user=a`, 400, "parameter_invalid", "user"], [`?execution=${executionId()}`, 404, "execution_not_found", undefined],
      ["?cursor=nonsense", 400, "cursor_invalid", "cursor"], [`?status=failed&cursor=${new URL(nextOf(await page(viewer, `${LIST}?limit=1`))!, worker.url).searchParams.get("cursor")}`, 400, "cursor_invalid", "cursor"],
    ] as const) {
      const { status: got, json } = await viewer.get(LIST + query);
      assert.deepEqual([got, json.code, json.field], [status, code, field], query);
    }
    const foreign = await worker.api.withKey(elsewhere.viewerKey).get(`${LIST}?execution=${ids.small}`);
    assert.deepEqual([foreign.status, foreign.json.code], [404, "execution_not_found"]);
  });
});

describe("import into an empty deployment of the same root", () => {
  let other: Worker;
  let admin: Api;
  before(async () => {
    other = await Worker.start({ bindings: { STEPSEAL_ROOTS: JSON.stringify({ k1: Buffer.from(worker.root).toString("base64") }) } });
    admin = other.api.withKey((await other.createProject(project.id)).adminKey);
  });
  after(() => other.stop());

  test("gives the same executions, steps, verdicts and statistics, and the same file", async () => {
    assert.deepEqual(await imported(admin, file), { no_batch: 1, stored: 9 });
    for (const id of Object.values(ids)) assert.deepEqual(await seen(admin, id), await seen(viewer, id), id);
    assert.deepEqual(await stats(admin), await stats(viewer));
    assert.equal(await exported(admin, LIST), file);
  });

  test("says that it was imported, when, and on whose word", async () => {
    const { execution } = (await admin.get(`/v1/executions/${ids.chained}`)).json;
    assert.deepEqual(execution.writers.map(({ imported }: any) => imported), [2]);
    const [batch] = (await admin.get(`/v1/executions/${ids.chained}/verify`)).json.batches;
    assert.ok(batch.imported.at >= NOW && batch.imported.at > batch.received_at);
    assert.deepEqual([/^key_/.test(batch.imported.by), batch.imported.key], [true, null]);
    const own = (await viewer.get(`/v1/executions/${ids.chained}/verify`)).json.batches[0];
    assert.equal(own.imported, null);
    const { entries } = (await admin.get("/v1/audit?action=project.import")).json;
    assert.deepEqual(entries.map(({ details }: any) => details.stored).sort(), [2, 7]);
  });

  test("twice changes nothing", async () => {
    const rows = async () => Promise.all(["segments", "executions", "execution_facets", "leaves", "imports"].map(async (table) =>
      (await (await other.database()).prepare(`SELECT * FROM ${table}`).all()).results));
    const before = await rows();
    assert.deepEqual(await imported(admin, file), { no_batch: 1, duplicate: 9 });
    assert.deepEqual(await rows(), before);
    assert.equal((await admin.get("/v1/audit?action=project.import")).json.entries.length, 2);
  });

  test("a record of an import that somebody made in the store counts for nothing", async () => {
    const database = await other.database();
    await database.prepare("UPDATE imports SET actor = 'key_other' WHERE execution_id = ?1").bind(ids.small).run();
    const { json } = await admin.get(`/v1/executions/${ids.small}/verify`);
    assert.deepEqual([json.verdict, json.batches[0].reason], ["tampered", "the record of its import is not the one that was made"]);
  });

  test("what was deleted here is not brought back, and takes its record along", async () => {
    assert.equal((await admin.request("DELETE", `/v1/executions/${ids.zipped}`)).status, 200);
    const records = await (await other.database()).prepare("SELECT 1 FROM imports WHERE execution_id = ?1").bind(ids.zipped).all();
    assert.equal(records.results.length, 0);
    assert.deepEqual(await imported(admin, file), { no_batch: 1, duplicate: 8, execution_deleted: 1 });
  });
});

describe("import into another project of the same deployment", () => {
  test("keeps who wrote it, when it came, and what it is worth", async () => {
    const own = await worker.createProject("prj_in");
    const admin = worker.api.withKey(own.adminKey);
    // In any order: the execution's owner stands in each line.
    const [head, ...rest] = lines(file);
    assert.deepEqual(await imported(admin, [head, ...rest.reverse()].join("\n")), { no_batch: 1, stored: 9 });
    for (const id of Object.values(ids)) {
      const { execution: { provenance: _, ...execution }, ...there } = await seen(admin, id);
      const { execution: { provenance: __, ...original }, ...here } = await seen(viewer, id);
      assert.deepEqual({ execution, ...there }, { execution: original, ...here });
    }
    const members = ({ attestation: _, ...line }: any) => line;
    assert.deepEqual(batches(await exported(admin, LIST)).map(members), batches(file).map(members));
    await worker.runChores();
    assert.deepEqual(batches(await exported(admin, "/v1/export")).length, 9);
  });

  test("under keys of its subjects where the project asks for that", async () => {
    const own = await worker.createProject("prj_in_sealed", { subject_keys: true });
    const admin = worker.api.withKey(own.adminKey);
    assert.deepEqual(await imported(admin, file), { no_batch: 1, stored: 9 });
    assert.equal((await seen(admin, ids.joined)).verdict, "verified");
    const ordered = await admin.request("POST", "/v1/project/deletions", JSON.stringify({ subject: "o_anonymous" }));
    assert.equal(ordered.status, 202);
    assert.equal((await admin.get(`/v1/executions/${ids.joined}`)).json.code, "execution_deleted");
  });
});

describe("import into a deployment of another root", () => {
  let other: Worker;
  let admin: Api;
  before(async () => {
    other = await Worker.start();
    admin = other.api.withKey((await other.createProject("prj_foreign")).adminKey);
  });
  after(() => other.stop());

  test("is refused without the exporting log's key, and with another", async () => {
    assert.deepEqual(await imported(admin, file), { no_batch: 1, signature_invalid: 9 });
    const ownKey = (await page(admin, "/v1/checkpoints/key")).text.trim();
    assert.deepEqual(await imported(admin, file, ownKey), { no_batch: 1, signature_invalid: 9 });
    assert.deepEqual(await imported(admin, unheld(file)), { no_batch: 1, key_unknown: 9 });
    assert.deepEqual((await admin.get("/v1/executions")).json.executions, []);
  });

  test("is taken on its attestations, which verify still knows", async () => {
    assert.deepEqual(await imported(admin, file, key), { no_batch: 1, stored: 9 });
    for (const id of Object.values(ids)) assert.deepEqual(await seen(admin, id), await seen(viewer, id), id);
    const [batch] = (await admin.get(`/v1/executions/${ids.small}/verify`)).json.batches;
    assert.equal(batch.imported.key, key);
    const again = batches(await exported(admin, LIST));
    assert.deepEqual(again, batches(file).map((line) => ({ ...line, key })));
    // From there it goes on with the first log's word, not the second's.
    const third = await worker.createProject("prj_third_hand");
    const text = await exported(admin, LIST);
    const second = (await page(admin, "/v1/checkpoints/key")).text.trim();
    assert.deepEqual(await imported(worker.api.withKey(third.adminKey), unheld(text), second), { no_batch: 1, key_unknown: 9 });
    assert.deepEqual(await imported(worker.api.withKey(third.adminKey), text), { no_batch: 1, stored: 9 });
  });

  test("an altered line does not hold, whatever was altered", async () => {
    const line = batches(file).find(({ x }) => x === ids.small);
    const empty = await other.createProject("prj_altered");
    const importer = other.api.withKey(empty.adminKey);
    for (const change of [
      { received_at: line.received_at - 1 }, { subject: "user_2" }, { provenance: "origin" }, { sha256: "0".repeat(64) },
      { envelope: line.envelope.replace(/bat_\w+/, batchId()) }, { x: executionId() }, { attestation: Buffer.alloc(64).toString("base64url") },
    ]) {
      const { json } = await importSlice(importer, JSON.stringify({ ...line, ...change }), key);
      assert.deepEqual([json.refused, json.results[0].code], [1, "signature_invalid"], JSON.stringify(change));
    }
    // The attestation covers the digest; the body must be what the digest is of.
    const { json } = await importSlice(importer, JSON.stringify({ ...line, body: Buffer.from(body(ids.small, smallExecution(5))).toString("base64") }), key);
    assert.deepEqual([json.results[0].code, json.results[0].field], ["line_malformed", "sha256"]);
    assert.deepEqual((await importer.get("/v1/executions")).json.executions, []);
  });
});

describe("bad input", () => {
  let admin: Api;
  let line: any;
  before(async () => {
    admin = worker.api.withKey((await worker.createProject("prj_bad")).adminKey);
    line = batches(file).find(({ x }) => x === ids.small);
  });

  test("each line says what is wrong with it, and the others are stored", async () => {
    const others = batches(file).filter(({ x }) => x === ids.chained);
    const text = [JSON.stringify(others[0]), "nonsense", JSON.stringify({ ...line, x: "short" }), JSON.stringify({ ...line, body: null }), "{}", JSON.stringify(others[1]), "", JSON.stringify({ t: "deletion", i: 1, x: ids.small })].join("\n");
    const { status, json } = await importSlice(admin, text);
    assert.equal(status, 200);
    assert.deepEqual(json.results.map((result: any) => [result.line, result.code, result.field]), [
      [1, "stored", undefined], [2, "line_malformed", "t"], [3, "line_malformed", "x"], [4, "body_absent", undefined], [5, "line_malformed", "t"],
      [6, "stored", undefined], [7, "line_malformed", "t"], [8, "no_batch", undefined],
    ]);
    assert.deepEqual([json.stored, json.duplicate, json.skipped, json.refused], [2, 0, 1, 5]);
    assert.ok(json.results.filter(({ code }: any) => code === "line_malformed").every(({ detail }: any) => detail.length > 20));
  });

  test("what a MAC does not cover must fit what it does", async () => {
    for (const [change, field] of [[{ received_at: line.received_at - 400_000 }, "received_at"], [{ received_at: Date.now() + 60_000 }, "received_at"], [{ subject: "user_2" }, "subject"], [{ provenance: "origin" }, "provenance"], [{ k: 1 }, "k"], [{ w: "other" }, "w"], [{ sha256: "0".repeat(64) }, "sha256"]] as const) {
      const { json } = await importSlice(admin, JSON.stringify({ ...line, ...change }));
      assert.deepEqual([json.results[0].code, json.results[0].field], ["line_malformed", field], JSON.stringify(change));
    }
    assert.equal((await admin.get(`/v1/executions/${ids.small}`)).status, 404);
  });

  test("requests beyond their bounds store nothing", async () => {
    const nine = Array(9).fill(JSON.stringify(line)).join("\n");
    for (const [text, query, status, code] of [
      ["", "", 400, "request_malformed"], [nine, "", 400, "request_malformed"], ["x".repeat(2_000_001), "", 413, "body_too_large"],
      [JSON.stringify(line), "?key=nonsense", 400, "parameter_invalid"], [JSON.stringify(line), "?trust=x", 400, "parameter_unknown"], [JSON.stringify(line), `?key=${encodeURIComponent(key)}&key=x`, 400, "parameter_invalid"],
    ] as const) {
      const reply = await admin.request("POST", `/v1/project/import${query}`, text);
      assert.deepEqual([reply.status, reply.json.code], [status, code]);
    }
    const bytes = await admin.request("POST", "/v1/project/import", new Uint8Array([0x7b, 0xff, 0x0a]));
    assert.deepEqual([bytes.status, bytes.json.code, bytes.json.line], [400, "request_malformed", 1]);
    assert.equal((await admin.get(`/v1/executions/${ids.small}`)).status, 404);
  });

  test("another body under a stored key, and another's execution, are refused", async () => {
    const own = await worker.createProject("prj_taken");
    const importer = worker.api.withKey(own.adminKey);
    const here = session(own.secret, own.id, own.kid, { sub: "somebody_else" });
    await worker.api.sendBatch(seal(here, body(ids.small, smallExecution())));
    await worker.api.sendBatch(seal(session(own.secret, own.id, own.kid, { sub: "user_1" }), body(ids.zipped, smallExecution())));
    const codes = await imported(importer, file);
    assert.deepEqual(codes, { no_batch: 1, stored: 7, subject_mismatch: 1, batch_conflict: 1 });
  });

  test("what retention would delete at once is refused, and limits and budgets hold", async () => {
    const own = await worker.createProject("prj_short", { retention_days: 1 });
    const old = { ...line, received_at: line.received_at - 2 * 86_400_000 };
    // Its MAC gives the time away; on an attestation it is believed.
    const { json } = await importSlice(worker.api.withKey(own.adminKey), JSON.stringify(old));
    assert.equal(json.results[0].code, "line_malformed");
    const shut = JSON.parse(unheld(JSON.stringify(old)));
    const attested = { ...shut, attestation: attestation(worker.root, project.id, shut) };
    const over = await importSlice(worker.api.withKey(own.adminKey), JSON.stringify(attested), key);
    assert.deepEqual([over.json.results[0].code, over.json.results[0].field], ["retention_over", "received_at"]);
    const kept = await importSlice(worker.api.withKey((await worker.createProject("prj_kept", { retention_days: 0 })).adminKey), JSON.stringify(attested), key);
    assert.equal(kept.json.results[0].code, "stored");
    const poor = await worker.createProject("prj_poor", { budget: { steps: 4 } });
    const importer = worker.api.withKey(poor.adminKey);
    const more = batches(file).find(({ x }) => x === ids.zipped);
    assert.deepEqual((await importSlice(importer, JSON.stringify(line))).json.results[0].code, "stored");
    const stopped = await importSlice(importer, JSON.stringify(more));
    assert.deepEqual([stopped.status, stopped.json.code], [429, "budget_exhausted"]);
    const usage = (await importer.get("/v1/project/usage")).json;
    assert.equal(usage.ledger.batches.received, 0);
  });

  test("a limit ends the request; what stands before is stored and noted, and sending it again goes on", async () => {
    const source = await worker.createProject("prj_many_steps");
    const sender = session(source.secret, source.id, source.kid);
    for (const name of ["one", "two"]) {
      const events: Event[] = Array.from({ length: 600 }, (_, n) => ({ t: "log", n, at: NOW, body: name }));
      assert.equal((await worker.api.sendBatch(seal(sender, body(executionId(), events)))).json.code, "stored");
    }
    const text = await exported(worker.api.withKey(source.viewerKey), LIST);
    const slow = await worker.createProject("prj_slow", { limits: { bytes_per_s: 1_000_000, bytes_burst: 1_000_000, steps_per_s: 100, steps_burst: 1_000 } });
    const importer = worker.api.withKey(slow.adminKey);
    const limited = await importSlice(importer, text);
    assert.deepEqual([limited.status, limited.json.code, limited.json.retry_after_s > 0], [429, "rate_limited", true]);
    assert.equal((await importer.get("/v1/executions")).json.executions.length, 1);
    assert.deepEqual((await importer.get("/v1/audit?action=project.import")).json.entries.map(({ details }: any) => details), [{ stored: 1, duplicate: 0, refused: 0 }]);
  });

  test("a viewer imports nothing", async () => {
    const reply = await importSlice(viewer, JSON.stringify(line));
    assert.deepEqual([reply.status, reply.json.code], [403, "role_insufficient"]);
  });
});
