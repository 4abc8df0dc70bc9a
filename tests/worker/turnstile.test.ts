// Turnstile before minting, against a stand-in of its verify endpoint: whatever is not a clear yes mints nothing.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { body, executionId, seal, smallExecution } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const ORIGIN = "https://app.example.com";
const SECRET = `0x4${randomBytes(16).toString("hex")}`;

let stand: Server;
let worker: Worker;
let project: Project;
const asked: any[] = [];
let answer: (response: ServerResponse, question: any) => void;

const yes = (response: ServerResponse, more: object = {}) => response.end(JSON.stringify({ success: true, hostname: "app.example.com", ...more }));

async function read(request: IncomingMessage): Promise<any> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

before(async () => {
  stand = createServer(async (request, response) => {
    const question = await read(request);
    asked.push(question);
    answer(response, question);
  });
  await new Promise<void>((done) => stand.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(stand.address() as AddressInfo).port}/siteverify`;
  worker = await Worker.start({ bindings: { STEPSEAL_TURNSTILE_SECRET: SECRET, STEPSEAL_TURNSTILE_URL: url } });
  worker.secrets.add(SECRET);
  project = await worker.createProject("prj_challenge", { origins: [ORIGIN], turnstile: true });
});

after(async () => {
  stand.closeAllConnections();
  stand.close();
  await worker.stop({ expectFaults: true });
});

const mint = (turnstile?: unknown) => worker.api.request("POST", "/v1/sessions",
  JSON.stringify({ publishable_key: project.publishableKey, install: randomBytes(16).toString("base64url"), turnstile }), { origin: ORIGIN, "content-type": "text/plain" });

test("a solved challenge mints a session that writes", async () => {
  answer = (response) => yes(response);
  const minted = await mint("a-solved-token");
  assert.equal(minted.json.code, "minted");
  const { secret, response } = asked.at(-1);
  assert.deepEqual([secret, response], [SECRET, "a-solved-token"]);
  const sealed = seal({ token: minted.json.token, key: new Uint8Array(Buffer.from(minted.json.key, "base64")) }, body(executionId(), smallExecution()));
  assert.equal((await worker.api.sendBatch(sealed, { origin: ORIGIN })).json.code, "stored");
});

test("no token, an empty one, one too long: refused without asking", async () => {
  const before = asked.length;
  for (const token of [undefined, null, "", "x".repeat(2_049)]) {
    const reply = await mint(token);
    assert.deepEqual([reply.status, reply.json.code, reply.json.field, reply.json.key], [403, "challenge_failed", "turnstile", undefined]);
  }
  assert.equal(asked.length, before);
});

const refusals: [string, (response: ServerResponse) => void, number, string][] = [
  ["a no", (response) => response.end('{"success":false,"error-codes":["timeout-or-duplicate"]}'), 403, "challenge_failed"],
  ["a yes for another site", (response) => yes(response, { hostname: "evil.example.com" }), 403, "challenge_failed"],
  ["a yes for no site", (response) => response.end('{"success":true}'), 403, "challenge_failed"],
  ["an error status with a yes", (response) => yes(response.writeHead(500)), 503, "challenge_unavailable"],
  ["no JSON", (response) => response.end("<html>"), 503, "challenge_unavailable"],
  ["a yes that is a text", (response) => response.end('{"success":"true"}'), 503, "challenge_unavailable"],
  ["a cut connection", (response) => response.destroy(), 503, "challenge_unavailable"],
  ["silence", () => {}, 503, "challenge_unavailable"],
];
for (const [what, misbehave, status, code] of refusals) {
  test(`${what} mints nothing`, async () => {
    answer = misbehave;
    const reply = await mint("token");
    assert.deepEqual([reply.status, reply.json.code, reply.json.key, reply.json.token], [status, code, undefined, undefined]);
    assert.ok(!JSON.stringify(reply.json).includes(SECRET));
  });
}

test("a project that asks for none is not asked for one; one whose deployment has no secret mints nothing", async () => {
  const operator = worker.api.withKey(worker.operatorKey);
  const set = (turnstile: boolean) => operator.request("PATCH", `/v1/projects/${project.id}`, JSON.stringify({ turnstile }));
  assert.equal((await set(false)).json.project.turnstile, false);
  assert.equal((await mint()).json.code, "minted");
  assert.equal((await set(true)).json.project.turnstile, true);
  await worker.pause();
  worker.setBindings({});
  await worker.resume();
  const reply = await mint("token");
  assert.deepEqual([reply.status, reply.json.code], [503, "misconfigured"]);
});
