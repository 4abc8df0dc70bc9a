// Independent senders: stock Standard Webhooks libraries sign server batches.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import type { Reply } from "../client/api.ts";
import { batchId, body, executionId, seal, session, smallExecution } from "../client/batches.ts";
import { ROOT, Worker, type Project } from "../fixtures/worker.ts";

const PYTHON_HOME = join(ROOT, ".tools", "standardwebhooks-1.0.1");

let worker: Worker;
let project: Project;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_server");
});

after(() => worker.stop());

function send(bytes: Buffer, signature: { id: string; timestamp: string; signature: string }): Promise<Reply> {
  return worker.api.request("POST", "/v1/server/batches", new Uint8Array(bytes), {
    "content-type": "application/x-ndjson",
    "stepseal-key": `${project.id}.${project.kid}`,
    "webhook-id": signature.id,
    "webhook-timestamp": signature.timestamp,
    "webhook-signature": signature.signature,
  });
}

function signedByNpm(bytes: Buffer, secret = project.projectSecret, id = batchId()) {
  const now = new Date();
  const signature = new Webhook(secret).sign(id, now, bytes.toString());
  return { id, timestamp: String(Math.floor(now.getTime() / 1000)), signature };
}

async function assertStored(x: string, reply: Reply): Promise<void> {
  assert.equal(reply.status, 200, JSON.stringify(reply.json));
  assert.equal(reply.json.code, "stored");
  const viewer = worker.api.withKey(project.viewerKey);
  const { json } = await viewer.get(`/v1/executions/${x}`);
  const { subject, provenance, steps, completeness } = json.execution;
  assert.deepEqual(
    { subject, provenance, steps, completeness },
    { subject: "user_7", provenance: "server", steps: 2, completeness: "complete" },
  );
  assert.equal((await viewer.get(`/v1/executions/${x}/verify`)).json.verdict, "verified");
}

test("the npm library", async () => {
  const x = executionId();
  const bytes = body(x, smallExecution(), { sub: "user_7" });
  await assertStored(x, await send(bytes, signedByNpm(bytes)));
});

test("two signatures, while a secret is rotated", async () => {
  const x = executionId();
  const bytes = body(x, smallExecution(), { sub: "user_7" });
  const mine = signedByNpm(bytes);
  const foreign = signedByNpm(bytes, `whsec_${Buffer.alloc(32, 5).toString("base64")}`, mine.id);
  await assertStored(x, await send(bytes, { ...mine, signature: `${foreign.signature} ${mine.signature}` }));
});

test("the PyPI library", async (t) => {
  const python = pythonWithLibrary();
  if (!python) return t.skip("needs python3 with venv and PyPI, to install standardwebhooks");
  const x = executionId();
  const bytes = body(x, smallExecution(), { sub: "user_7" });
  const program = `
import sys, json, datetime
from standardwebhooks import Webhook
now = datetime.datetime.now(tz=datetime.timezone.utc)
signature = Webhook(sys.argv[1]).sign(sys.argv[2], now, sys.stdin.read())
print(json.dumps({"id": sys.argv[2], "timestamp": str(int(now.timestamp())), "signature": signature}))`;
  const output = execFileSync(python, ["-c", program, project.projectSecret, batchId()], { input: bytes });
  await assertStored(x, await send(bytes, JSON.parse(output.toString())));
});

test("wrong secrets, missing headers and missing subjects are refused", async () => {
  const bytes = body(executionId(), smallExecution(), { sub: "user_7" });
  const wrong = await send(bytes, signedByNpm(bytes, `whsec_${Buffer.alloc(32, 5).toString("base64")}`));
  assert.deepEqual([wrong.status, wrong.json.code], [401, "signature_invalid"]);
  const bare = await worker.api.request("POST", "/v1/server/batches", new Uint8Array(bytes));
  assert.deepEqual([bare.status, bare.json.code, bare.json.field], [400, "envelope_malformed", "stepseal-key"]);
  const nobody = body(executionId(), smallExecution());
  const reply = await send(nobody, signedByNpm(nobody));
  assert.deepEqual([reply.status, reply.json.code, reply.json.line, reply.json.field], [400, "header_malformed", 1, "sub"]);
});

test("neither route takes the other's batches", async () => {
  const bytes = body(executionId(), smallExecution(), { sub: "user_7" });
  const sealed = seal(session(project.secret, project.id, project.kid), bytes);
  const asServer = await worker.api.request("POST", "/v1/server/batches", new Uint8Array(sealed));
  assert.deepEqual([asServer.status, asServer.json.code], [400, "envelope_malformed"]);
  const headers = signedByNpm(bytes);
  const asPage = await worker.api.request("POST", "/v1/batches", new Uint8Array(bytes), {
    "stepseal-key": `${project.id}.${project.kid}`, "webhook-id": headers.id,
    "webhook-timestamp": headers.timestamp, "webhook-signature": headers.signature,
  });
  assert.deepEqual([asPage.status, asPage.json.code], [400, "envelope_malformed"]);
});

/** A Python that has the library, in a virtual environment beside the tool chain. */
function pythonWithLibrary(): string | undefined {
  const python = join(PYTHON_HOME, "bin", "python");
  try {
    if (!existsSync(python)) execFileSync("python3", ["-m", "venv", PYTHON_HOME], { stdio: "pipe" });
    execFileSync(python, ["-c", "import standardwebhooks"], { stdio: "pipe" });
    return python;
  } catch {
    try {
      execFileSync(python, ["-m", "pip", "install", "--quiet", "standardwebhooks==1.0.1"], { stdio: "pipe" });
      return python;
    } catch {
      return undefined;
    }
  }
}
