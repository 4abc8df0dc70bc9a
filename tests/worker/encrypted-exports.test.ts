// Exports encrypted to a recipient's key, opened with the implementation of age's own authors.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { armor, Decrypter, generateIdentity, identityToRecipient } from "age-encryption";
import type { Api } from "../client/api.ts";
import { body, executionId, seal, session } from "../client/batches.ts";
import { record } from "../client/recorded.ts";
import { exported, nextOf, page, pages } from "../client/transfer.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const NOW = Date.now();
const FORMATS = ["/v1/export", "/v1/export/executions.ndjson", "/v1/export/executions.csv", "/v1/export/traces.jsonl"];

let worker: Worker;
let project: Project;
let viewer: Api;
let identity: string;
let recipient: string;

before(async () => {
  worker = await Worker.start();
  project = await worker.createProject("prj_sealed");
  viewer = worker.api.withKey(project.viewerKey);
  await record(worker.api, project, [0, 1, 2].map((n) => ({ at: NOW - n, name: "canary of the recorded" })));
  // Longer than a chunk of age's payload.
  const long = body(executionId(), [{ t: "start", n: 0, at: NOW - 10, name: "long" }, { t: "log", n: 1, at: NOW, body: "y".repeat(300_000) }]);
  await worker.api.sendBatch(seal(session(project.secret, project.id, project.kid), long));
  await worker.runChores();
  identity = await generateIdentity();
  recipient = await identityToRecipient(identity);
});

after(() => worker.stop());

async function open(text: string, with_ = identity): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(with_);
  return decrypter.decrypt(armor.decode(text), "text");
}

/** An encrypted export: armored files, one after the other. */
const files = (text: string): string[] => text.match(/-----BEGIN AGE ENCRYPTED FILE-----\n[^]*?-----END AGE ENCRYPTED FILE-----\n/g) ?? [];

describe("every format", () => {
  for (const path of FORMATS) {
    test(`${path} opens to the plain export, however it is cut`, async () => {
      const plain = await exported(viewer, path);
      for (const limit of ["", "&limit=1"]) {
        const sealed = await pages(viewer, `${path}?recipient=${recipient}${limit}`);
        const text = sealed.join("");
        assert.deepEqual(files(text), sealed);
        assert.ok(!text.includes("canary"));
        assert.equal((await Promise.all(sealed.map((file) => open(file)))).join(""), plain);
      }
    });
  }

  test("is text, and says so", async () => {
    assert.equal((await page(viewer, `${FORMATS[1]}?recipient=${recipient}`)).headers.get("content-type"), "text/plain");
  });
});

test("a page that is asked for again is encrypted anew, and goes on alike", async () => {
  const path = `${FORMATS[1]}?recipient=${recipient}&limit=1&from=${NOW - 86_400_000}`;
  const [first, again] = [await page(viewer, path), await page(viewer, path)];
  assert.notEqual(first.text, again.text);
  assert.equal(await open(first.text), await open(again.text));
  assert.equal(nextOf(first), nextOf(again));
  assert.match(nextOf(first)!, /recipient=age1/);
});

test("nobody else opens it", async () => {
  const { text } = await page(viewer, `${FORMATS[1]}?recipient=${recipient}`);
  await assert.rejects(open(text, await generateIdentity()));
});

test("what is no recipient is refused, and no secret key is echoed", async () => {
  for (const path of FORMATS) {
    for (const wrong of ["", "age1", "nonsense", recipient.toUpperCase(), `${recipient.slice(0, -1)}${recipient.endsWith("q") ? "p" : "q"}`, identity, `${recipient}&recipient=${recipient}`]) {
      const { status, json } = await viewer.get(`${path}?recipient=${wrong}`);
      assert.deepEqual([status, json.code, json.field], [400, "parameter_invalid", "recipient"], wrong);
      assert.ok(!JSON.stringify(json).includes("AGE-SECRET-KEY-1"));
    }
  }
  assert.equal((await viewer.get(`/v1/executions?recipient=${recipient}`)).json.code, "parameter_unknown");
});
