// Prices: costs that steps do not report, derived under the version that was current, and told apart from what they do.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Api, Reply } from "../client/api.ts";
import { chain, executionId, seal, session, stepId, type Event } from "../client/batches.ts";
import { Worker, type Project } from "../fixtures/worker.ts";

const NOW = Date.now();

let worker: Worker;

before(async () => {
  worker = await Worker.start();
});

after(() => worker.stop());

const statusAndCode = (reply: Reply) => [reply.status, reply.json.code];
const rates = (input: number, output: number, more = {}) => ({ usd_per_million: { input, output, ...more } });
const put = (api: Api, expected_version: number, prices: object[]) => api.request("PUT", "/v1/project/prices", JSON.stringify({ expected_version, prices }));

const step = (n: number, more: object): Event =>
  ({ t: "step", n, id: stepId(), kind: "llm", name: `s${n}`, at: NOW, duration_ms: 1, status: "ok", model: "gpt-4o-2024-08-06", ...more });

async function send(project: Project, pieces: Event[][], order = pieces.map((_, k) => k)): Promise<string> {
  const id = executionId();
  const sender = session(project.secret, project.id, project.kid);
  const batches = chain(id, pieces);
  for (const k of order) assert.equal((await worker.api.sendBatch(seal(sender, batches[k]!))).json.code, "stored");
  return id;
}

/** One step of each kind: priced, with a cost of its own, free, a parent, of a model without a price. */
const events = (): Event[] => [
  { t: "start", n: 0, at: NOW, name: "priced", user: "ann" },
  step(1, { usage: { input: 1_000, cache_read: 2_000, output: 100, reasoning: 50 } }),
  step(2, { usage: { input: 1_000 }, cost_usd: 0.5 }),
  step(3, { usage: { input: 1_000 }, cost_usd: 0 }),
  step(4, { kind: "agent", usage: { input: 1_000_000 } }),
  step(5, { usage: { input: 1_000 }, model: "unheard-of" }),
  { t: "end", n: 6, status: "completed", at: NOW + 40, last: 6 },
];
/** Of the first step, at 2.5 and 10 dollars a million, 1.25 for what a cache gave. */
const DERIVED = (1_000 * 2.5 + 2_000 * 1.25 + 150 * 10) / 1e6;
const near = (found: number, wanted: number) => assert.ok(Math.abs(found - wanted) < 1e-9, `${found} for ${wanted}`);

describe("the table", () => {
  test("begins empty, is replaced as a whole, and every version stays", async () => {
    const project = await worker.createProject("prj_table");
    const admin = worker.api.withKey(project.adminKey);
    assert.deepEqual((await admin.get("/v1/project/prices")).json, { version: 0, made_at: null, prices: [] });
    const first = await put(admin, 0, [{ model: "gpt-4o", ...rates(2.5, 10, { cache_read: 1.25 }) }]);
    const price = { model: "gpt-4o", valid_from: null, valid_until: null, usd_per_million: { input: 2.5, cache_read: 1.25, cache_write: 2.5, output: 10, reasoning: 10 } };
    assert.deepEqual([first.status, first.json.version, first.json.prices], [200, 1, [price]]);
    assert.equal((await put(admin, 1, [])).json.version, 2);
    assert.deepEqual((await admin.get("/v1/project/prices")).json.prices, []);
    assert.deepEqual((await admin.get("/v1/project/prices/1")).json, first.json);
    assert.deepEqual((await worker.api.withKey(worker.operatorKey).get(`/v1/projects/${project.id}/prices/1`)).json, first.json);
    for (const version of ["0", "3", "x", "-1", "99999999999999999999"]) assert.deepEqual(statusAndCode(await admin.get(`/v1/project/prices/${version}`)), [404, "prices_not_found"]);
    const { json } = await admin.get("/v1/audit?action=prices.change");
    assert.deepEqual(json.entries.map(({ target, details }: any) => [target, details.prices, details.sha256.length]), [["2", 0, 64], ["1", 1, 64]]);
  });

  test("of two edits of one version one conflicts, and says so", async () => {
    const project = await worker.createProject("prj_edits");
    const admin = worker.api.withKey(project.adminKey);
    const replies = await Promise.all([1, 2, 3].map((input) => put(admin, 0, [{ model: "m", ...rates(input, 1) }])));
    assert.deepEqual(replies.map(({ status }) => status).sort(), [200, 409, 409]);
    const refused = replies.find(({ status }) => status === 409)!;
    assert.deepEqual([refused.json.code, refused.json.field], ["changed_meanwhile", "expected_version"]);
    assert.equal((await admin.get("/v1/project/prices")).json.version, 1);
  });

  test("what is wrong with it is named, and only admins see it", async () => {
    const project = await worker.createProject("prj_wrong");
    const admin = worker.api.withKey(project.adminKey);
    const wrong: [object[], string | undefined][] = [
      [[{ model: "", ...rates(1, 1) }], "prices[0].model"], [[{ model: "m", ...rates(-1, 1) }], "prices[0].usd_per_million.input"],
      [[{ model: "m", ...rates(1, 1) }, { model: "m", ...rates(2, 1) }], "prices[1]"], [[{ model: "m" }], undefined], [[{ model: "m", ...rates(1, 1), currency: "EUR" }], undefined],
    ];
    for (const [prices, field] of wrong) {
      const reply = await put(admin, 0, prices);
      assert.deepEqual([...statusAndCode(reply), reply.json.field], [400, "request_malformed", field]);
    }
    for (const reply of [await worker.api.withKey(project.viewerKey).get("/v1/project/prices"), await put(worker.api.withKey(project.viewerKey), 0, [])]) {
      assert.deepEqual(statusAndCode(reply), [403, "role_insufficient"]);
    }
  });
});

describe("derived costs", () => {
  test("stand where steps report none, in everything that shows a cost, told apart", async () => {
    const project = await worker.createProject("prj_derived");
    const admin = worker.api.withKey(project.adminKey);
    await put(admin, 0, [{ model: "gpt-4o", ...rates(2.5, 10, { cache_read: 1.25 }) }]);
    const id = await send(project, [events()]);
    const { execution } = (await admin.get(`/v1/executions/${id}`)).json;
    near(execution.cost_usd, 0.5 + DERIVED);
    near(execution.derived_cost_usd, DERIVED);
    assert.deepEqual(execution.price_versions, { first: 1, last: 1 });
    const { steps } = (await admin.get(`/v1/executions/${id}/steps`)).json;
    assert.deepEqual(steps.map(({ price_version }: any) => price_version), [1, undefined, undefined, undefined, undefined]);
    near(steps[0].derived_cost_usd, DERIVED);
    const found = (await admin.get("/v1/steps?name=s1")).json.steps;
    near(found[0].derived_cost_usd, DERIVED);
    assert.deepEqual(found.map(({ price_version }: any) => price_version), [1]);
    for (const path of ["/v1/stats", "/v1/stats?user=ann", "/v1/users"]) {
      const { json } = await admin.get(path);
      const sums = json.total ?? json.users[0];
      near(sums.cost_usd, 0.5 + DERIVED);
      near(sums.derived_cost_usd, DERIVED);
      assert.deepEqual(sums.price_versions, { first: 1, last: 1 }, path);
    }
    const dearer = await send(project, [events().map((event) => (event.n === 2 ? { ...event, cost_usd: 0.501 } : event))]);
    const cheap = await send(project, [events().map((event) => (event.n === 1 ? { ...event, usage: { input: 1 } } : event))]);
    const ids = async (query: string) => (await admin.all(`/v1/executions?${query}`, "executions")).map(({ id }) => id);
    assert.deepEqual(await ids("sort=cost"), [dearer, id, cheap]);
    assert.deepEqual(await ids("min_cost_usd=0.506&max_cost_usd=0.507"), [id]);
    const { budget, used } = (await admin.get("/v1/project/usage")).json;
    near((used ?? budget.used).cost_usd, 1.501 + 2 * DERIVED + 2.5e-6);
    for (const each of [id, dearer, cheap]) assert.deepEqual((await admin.get(`/v1/executions/${each}/verify`)).json.summary, "verified");
  });

  test("keep the version that they were derived under, whatever order batches come in and however often", async () => {
    const project = await worker.createProject("prj_versions");
    const admin = worker.api.withKey(project.adminKey);
    await put(admin, 0, [{ model: "gpt-4o", ...rates(1, 1) }]);
    const usage = { usage: { input: 1_000_000 } };
    const pieces: Event[][] = [
      [{ t: "start", n: 0, at: NOW, name: "long" }, step(1, usage)], [step(2, usage)], [step(3, {}), { t: "end", n: 4, status: "completed", at: NOW, last: 4 }],
    ];
    const id = executionId();
    const sender = session(project.secret, project.id, project.kid);
    const batches = chain(id, pieces);
    const code = async (k: number) => (await worker.api.sendBatch(seal(sender, batches[k]!))).json.code;
    assert.equal(await code(1), "stored");
    await put(admin, 1, [{ model: "gpt-4o", ...rates(3, 3) }]);
    assert.deepEqual([await code(0), await code(2)], ["stored", "stored"]);
    await put(admin, 2, []);
    assert.deepEqual([await code(0), await code(1)], ["duplicate", "duplicate"]);
    const { execution } = (await admin.get(`/v1/executions/${id}`)).json;
    assert.deepEqual([execution.cost_usd, execution.derived_cost_usd, execution.price_versions], [4, 4, { first: 1, last: 2 }]);
    const { steps } = (await admin.get(`/v1/executions/${id}/steps`)).json;
    assert.deepEqual(steps.map(({ derived_cost_usd, price_version }: any) => [derived_cost_usd, price_version]), [[3, 2], [1, 1], [undefined, undefined]]);
    assert.deepEqual([(await admin.get(`/v1/executions/${id}/verify`)).json.verdict, (await admin.get(`/v1/executions/${id}/verify`)).json.summary], ["verified", "verified"]);

    const database = await worker.database();
    await database.prepare("UPDATE executions SET derived_cost_nano_usd = derived_cost_nano_usd - 1 WHERE id = ?1").bind(id).run();
    assert.equal((await admin.get(`/v1/executions/${id}/verify`)).json.summary, "tampered");
    await database.prepare("UPDATE executions SET derived_cost_nano_usd = derived_cost_nano_usd + 1 WHERE id = ?1").bind(id).run();
    await database.prepare("UPDATE segments SET price_version = NULL WHERE execution_id = ?1 AND k = 1").bind(id).run();
    assert.equal((await admin.get(`/v1/executions/${id}/verify`)).json.verdict, "tampered");
  });

  test("a step cannot say them itself", async () => {
    const project = await worker.createProject("prj_forged");
    const id = await send(project, [[{ t: "start", n: 0, at: NOW, name: "forged" }, step(1, { derived_cost_usd: 9, price_version: 9 })]]);
    const [shown] = (await worker.api.withKey(project.viewerKey).get(`/v1/executions/${id}/steps`)).json.steps;
    assert.deepEqual([shown.derived_cost_usd, shown.price_version], [undefined, undefined]);
  });

  test("cost no written row", async () => {
    const counting = await Worker.start({ bindings: { STEPSEAL_DIAGNOSTICS: "1" } });
    try {
      const project = await counting.createProject("prj_rows");
      const rows = async () => {
        const [bytes] = chain(executionId(), [events()]);
        return (await counting.api.sendBatch(seal(session(project.secret, project.id, project.kid), bytes!))).headers.get("stepseal-rows-written");
      };
      const before = await rows();
      await put(counting.api.withKey(project.adminKey), 0, [{ model: "gpt-4o", ...rates(1, 1) }]);
      assert.deepEqual([await rows(), Number(before) > 0], [before, true]);
    } finally {
      await counting.stop();
    }
  });
});

test("the prices of a deleted project go with it", async () => {
  const project = await worker.createProject("prj_left");
  await put(worker.api.withKey(project.adminKey), 0, [{ model: "m", ...rates(1, 1) }]);
  const database = await worker.database();
  const left = async () => (await database.prepare("SELECT count(*) AS n FROM price_tables WHERE project_id = ?1").bind(project.id).first<{ n: number }>())!.n;
  assert.equal(await left(), 1);
  await worker.api.withKey(worker.operatorKey).request("DELETE", `/v1/projects/${project.id}`);
  await database.prepare("UPDATE deletions SET ordered_at = ordered_at - 180000 WHERE project_id = ?1").bind(project.id).run();
  await worker.runChores();
  assert.equal(await left(), 0);
});
