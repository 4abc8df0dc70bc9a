// The main job on real input: 100 recorded agent runs are dropped on the playground in Chromium, travel
// through the SDK and the signed wire into the store, and come back out of the API with exactly the file's
// content, e-mail addresses redacted. Then the worker restarts, and then bytes of the store are changed by hand.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import type { Api } from "../client/api.ts";
import { openBody, sealBody } from "../client/at-rest.ts";
import { AIRLINE_RUNS, airlineRunsAbsent, readAirlineRuns, type Message, type Run } from "../fixtures/airline-runs.ts";
import { launchBrowser, openPage } from "../fixtures/browser.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const PORT = 8793;

type ExpectedStep = { kind: string; input: unknown; output: unknown; tool?: { name: string; call_id: string } };

/** The steps of a run by the playground's rule, written out anew from the rule's text. */
function expectedSteps(messages: Message[]): ExpectedStep[] {
  const steps: ExpectedStep[] = [];
  const open: { id: string; step: ExpectedStep }[] = [];
  for (const [index, message] of messages.entries()) {
    if (message.role === "assistant") {
      steps.push({ kind: "llm", input: { messages: messages.slice(0, index) }, output: message });
      for (const call of message.tool_calls ?? []) {
        const { name, arguments: text } = call.function;
        const step = { kind: "tool", input: JSON.parse(text), output: undefined, tool: { name, call_id: call.id } };
        steps.push(step);
        open.push({ id: call.id, step });
      }
    } else if (message.role === "tool") {
      const at = open.findIndex((call) => call.id === message.tool_call_id);
      const [call] = open.splice(at, 1);
      call!.step.output = message.content;
    }
  }
  return steps;
}

/** With addresses taken out as the SDK does by default, and marks without what is random in them. */
function redacted(value: unknown): unknown {
  const text = JSON.stringify(value).replace(/\{"\$redacted":\{"kind":"email","mark":"[0-9a-f]{8}"\}\}/g, '"[redacted email]"');
  return JSON.parse(text.replace(/\[redacted email [0-9a-f]{8}\]|[\w.+-]+@[\w-]+\.[\w.]*\w/g, "[redacted email]"));
}

const runKey = (run: { task_id: number; trial: number }) => `${run.task_id}/${run.trial}`;

async function assertEverythingIsThere(viewer: Api, runs: Run[]): Promise<void> {
  const executions = await viewer.all("/v1/executions?limit=30", "executions");
  assert.equal(executions.length, runs.length);
  const expected = new Map(runs.map((run) => [runKey(run), run]));
  assert.equal(expected.size, runs.length, "runs are told apart by task and trial");
  for (const execution of executions) {
    assert.equal(execution.status, "completed");
    assert.equal(execution.completeness, "complete");
    const shown = await viewer.get(`/v1/executions/${execution.id}`);
    const { task_id, trial, reward } = shown.json.execution.metadata;
    const run = expected.get(runKey({ task_id, trial }));
    assert.ok(run, `an unexpected run ${task_id}/${trial}`);
    expected.delete(runKey(run));
    assert.equal(reward, run.reward);
    const steps = await viewer.all(`/v1/executions/${execution.id}/steps`, "steps");
    assert.equal(execution.steps, steps.length);
    const recorded = steps.map(({ kind, input, output, tool }) => ({ kind, input, output, tool }));
    const wanted = expectedSteps(run.messages).map(({ kind, input, output, tool }) => ({ kind, input, output, tool }));
    assert.equal(JSON.stringify(recorded).includes("@"), JSON.stringify(wanted).replace(/[\w.+-]+@[\w-]+\.[\w.]*\w/g, "").includes("@"), "addresses are gone");
    assert.deepEqual(redacted(recorded), redacted(wanted));
    const parents = new Map(steps.map((step) => [step.id, step]));
    for (const step of steps.filter((step) => step.kind === "tool")) {
      assert.equal(parents.get(step.parent)?.kind, "llm", "a tool call stands below the model's step");
    }
  }
  assert.equal(expected.size, 0);
}

async function assertEverythingVerifies(viewer: Api): Promise<void> {
  for (const { id } of await viewer.all("/v1/executions", "executions")) {
    const { json } = await viewer.get(`/v1/executions/${id}/verify`);
    assert.deepEqual(
      { verdict: json.verdict, summary: json.summary, missing: json.missing, tail_unknown: json.tail_unknown },
      { verdict: "verified", summary: "verified", missing: [], tail_unknown: false },
      `${id}: ${JSON.stringify(json)}`,
    );
  }
}

describe("100 airline-agent runs", { skip: airlineRunsAbsent }, () => {
  let worker: Worker;
  let project: Project;
  let browser: Browser;
  let viewer: Api;
  const runs = airlineRunsAbsent ? [] : readAirlineRuns();

  before(async () => {
    worker = await Worker.start({ port: PORT, site: true });
    project = await worker.createProject("prj_airline", { origins: [worker.url] });
    viewer = worker.api.withKey(project.viewerKey);
    browser = await launchBrowser();
  });

  after(async () => {
    await browser?.close();
    await worker?.stop();
  });

  test("are recorded on the playground in Chromium", async () => {
    const { page, complaints } = await openPage(browser);
    await page.goto(`${worker.url}/playground`);
    await page.getByLabel(/key/i).first().fill(project.viewerKey);
    await page.keyboard.press("Enter");
    await page.locator("#playground-file").setInputFiles(AIRLINE_RUNS);
    const summary = page.locator('#playground-summary[data-state="done"]');
    await summary.waitFor({ state: "attached", timeout: 240_000 });
    const counts = await summary.evaluate((element) => ({ ...(element as HTMLElement).dataset }));
    const steps = runs.reduce((sum, run) => sum + expectedSteps(run.messages).length, 0);
    assert.equal(counts["executions"], String(runs.length));
    assert.equal(counts["steps"], String(steps));
    assert.equal(steps, 1801);
    assert.equal(counts["pending"], "0");
    assert.equal(counts["dropped"], "0");
    assert.equal(counts["rejected"], "0");
    assert.deepEqual(complaints, []);
  });

  test("come back out of the API with exactly the file's content but its e-mail addresses", () => assertEverythingIsThere(viewer, runs));

  test("every one verifies", () => assertEverythingVerifies(viewer));

  test("are all there after the worker was stopped and started again", async () => {
    await worker.pause();
    await worker.resume();
    viewer = worker.api.withKey(project.viewerKey);
    await assertEverythingIsThere(viewer, runs);
    await assertEverythingVerifies(viewer);
  });

  test("a byte changed in the store is found, by execution and batch", async () => {
    const database = await worker.database();
    const victim = await database
      .prepare("SELECT execution_id, writer, k, batch_id, attempt, hex(body) AS body FROM segments WHERE body IS NOT NULL ORDER BY execution_id, k DESC LIMIT 1")
      .first<{ execution_id: string; writer: string; k: number; batch_id: string; attempt: string; body: string }>();
    assert.ok(victim);
    // By somebody who holds the keys of the store, but not the page's: sealed again as it should be.
    const place = { project: project.id, execution: victim.execution_id, writer: victim.writer, k: victim.k, attempt: victim.attempt };
    const body = openBody(worker.root, place, Buffer.from(victim.body, "hex")).toString();
    const at = body.indexOf("role") + 1;
    const changed = body.slice(0, at) + "0" + body.slice(at + 1);
    assert.notEqual(changed, body);
    await database
      .prepare("UPDATE segments SET body = unhex(?1) WHERE execution_id = ?2 AND writer = ?3 AND k = ?4")
      .bind(sealBody(worker.root, "k1", place, Buffer.from(changed)).toString("hex"), victim.execution_id, victim.writer, victim.k).run();

    const { json } = await viewer.get(`/v1/executions/${victim.execution_id}/verify`);
    assert.equal(json.execution, victim.execution_id);
    assert.equal(json.verdict, "tampered");
    const faulty = json.batches.filter((batch: any) => batch.verdict !== "verified");
    assert.deepEqual(
      faulty.map((batch: any) => [batch.k, batch.batch_id, batch.verdict, batch.reason]),
      [[victim.k, victim.batch_id, "tampered", "the signature does not match the stored bytes"]],
    );
    const others = (await viewer.all("/v1/executions", "executions")).filter(({ id }) => id !== victim.execution_id);
    assert.equal(others.length, runs.length - 1);
    for (const { id } of others.slice(0, 10)) {
      assert.equal((await viewer.get(`/v1/executions/${id}/verify`)).json.verdict, "verified");
    }
  });
});
