// Nothing secret in logs: a run that meets every route with every credential, every fault of the stores and
// hostile input, and then reads what was logged. (The fixture also reads the log of every other test so.)

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { body, executionId, seal, session, smallExecution } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const CANARY = "canary-7f3d9c";
const INSTALL = "AAAAAAAAAAAAAAAAAAAAAA";
const ORIGIN = "https://app.example.com";

let worker: Worker;
let project: Project;
/** By what it is, for the message. */
const secrets = new Map<string, string>();

before(async () => {
  worker = await Worker.start({ faulty: true });
  project = await worker.createProject("prj_secrets", { origins: [ORIGIN] });
});

after(() => worker.stop({ expectFaults: true }));

function keep(name: string, text: string): string {
  assert.ok(text.length >= 12, `${name} is too short to look for`);
  secrets.set(name, text);
  return text;
}

/** Requests of all kinds; whatever they answer. */
async function meetEverything(): Promise<void> {
  const sender = session(project.secret, project.id, project.kid, { sub: keep("subject", `${CANARY}-subject`) });
  keep("session token", sender.token);
  keep("session key", Buffer.from(sender.key).toString("base64"));
  const events = smallExecution().map((event) => ({ ...event, name: `${CANARY}-name`, input: `${CANARY}-input`, output: "x".repeat(70_000) }));
  for (const fault of ["", "commit-lost", "commit-reply-lost", "put-lost", "put-reply-lost"]) {
    await worker.api.sendBatch(seal(sender, body(executionId(), events)), fault ? { "test-fault": fault } : {});
  }
  await worker.api.sendBatch(Buffer.concat([seal(sender, body(executionId(), events)).subarray(0, 300), Buffer.from(CANARY)]));
  await worker.api.sendBatch(seal(sender, Buffer.from(`{"${CANARY}":`)));

  const admin = worker.api.withKey(project.adminKey);
  const made = await admin.request("POST", "/v1/project/keys", JSON.stringify({ role: "admin", name: "made" }));
  keep("a made key", made.json.key);
  const generation = await admin.request("POST", "/v1/project/generations");
  keep("a project secret", generation.json.project_secret.replace("whsec_", ""));
  const minted = await worker.api.request("POST", "/v1/sessions", JSON.stringify({ publishable_key: project.publishableKey, install: INSTALL }), { origin: ORIGIN });
  keep("a minted token", minted.json.token);
  keep("a minted key", minted.json.key);
  const signedIn = await worker.api.request("POST", "/v1/sign-in", JSON.stringify({ key: made.json.key }), { "sec-fetch-site": "same-origin", origin: new URL(worker.url).origin });
  keep("the cookie", /=([^;]+);/.exec(signedIn.headers.get("set-cookie") ?? "")?.[1] ?? "");
  keep("the csrf token", signedIn.json.csrf);

  const document = (await worker.api.get("/openapi.json")).json;
  const credentials = [undefined, project.viewerKey, project.adminKey, made.json.key, worker.operatorKey, sender.token, keep("a wrong key", `stepseal_admin_${"f".repeat(40)}`)];
  for (const [path, item] of Object.entries<any>(document.paths)) {
    for (const [method, operation] of Object.entries<any>(item)) {
      if (method === "delete") continue;
      for (const key of credentials) {
        const filled = path.replace("{project}", "prj_none").replace(/\{\w+\}/g, `${CANARY}-id`);
        const response = await fetch(worker.url + filled, { method: method.toUpperCase(), headers: key ? { authorization: `Bearer ${key}` } : {}, body: operation.requestBody ? `{"${CANARY}":"${CANARY}"}` : null });
        // The live feed never ends by itself.
        if (response.headers.get("content-type") === "text/event-stream") await response.body!.cancel();
        else await response.arrayBuffer();
      }
    }
  }
  await worker.runChores();
}

/** A store that is broken in ways that no request asks for: rows that do not parse. */
async function breakStore(): Promise<void> {
  const database = await worker.database();
  await database.prepare("UPDATE projects SET config = ?1 WHERE id = ?2").bind(`{"publishable_key":"${keep("a stored setting", `${CANARY}-setting`)}"`, project.id).run();
  await worker.api.withKey(worker.operatorKey).get(`/v1/projects/${project.id}`);
  await worker.api.withKey(project.adminKey).request("PATCH", "/v1/project", '{"name":"x"}');
  await worker.runChores();
}

test("a whole run logs its faults, and no secret and nothing recorded with them", async () => {
  await meetEverything();
  await breakStore();
  for (const [name, text] of Object.entries({ root: Buffer.from(worker.root).toString("base64"), operator: worker.operatorKey, "project secret": project.projectSecret.replace("whsec_", ""), viewer: project.viewerKey, admin: project.adminKey, canary: CANARY })) keep(name, text);
  const log = worker.log.join("");
  for (const doing of ["committing a batch", "storing a large body"]) assert.ok(log.includes(`doing="${doing}"`), `the faults were logged:\n${log}`);
  assert.ok(worker.log.filter((line) => /fault /.test(line)).length >= 5, log);
  const leaked = [...secrets].filter(([, text]) => log.includes(text)).map(([name]) => name);
  assert.deepEqual(leaked, [], log);
});
