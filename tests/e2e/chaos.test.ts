// Thirty seeds of chaos: see tests/chaos. A seed that fails here is run again alone by `npm run bench -- chaos 1 SEED`.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { runSeed } from "../chaos/seed.ts";
import { runSeeds, summary } from "../chaos/seeds.ts";
import { World } from "../chaos/world.ts";

const SEEDS = 30;

let world: World;
before(async () => {
  world = await World.make();
});
after(() => world?.end());

test(`${SEEDS} seeds of killed tabs, lost replies, wrong clocks and full stores: every event has one fate, and none comes twice`, async (t) => {
  const outcomes = await runSeeds(world, Array.from({ length: SEEDS }, (_, index) => index + 1));
  t.diagnostic(summary(outcomes, world));
  assert.equal(outcomes.length, SEEDS);
  assert.deepEqual(outcomes.flatMap(({ seed, faults }) => faults.map((fault) => `seed ${seed}: ${fault}`)), []);
  // What was planned has happened: a chaos in which nothing goes wrong shows nothing.
  const sum = (figure: (outcome: (typeof outcomes)[number]) => number | undefined) => outcomes.reduce((all, outcome) => all + (figure(outcome) ?? 0), 0);
  for (const act of ["kill", "reload", "close", "clock", "offline", "service worker", "restart"]) assert.ok(sum(({ acts }) => acts[act]) > 0, act);
  for (const fate of ["refused", "replyLost", "twice"] as const) assert.ok(sum(({ proxy }) => proxy[fate]) > 0, fate);
  assert.ok(sum(({ tally }) => tally.steps) > 3_000);
});

test("the audit finds a batch that somebody answers for and does not store", async () => {
  const { faults } = await runSeed(world, 1_000, { swallowed: 2 });
  assert.match(faults.join("\n"), /incomplete, missing|steps are nowhere/);
});
