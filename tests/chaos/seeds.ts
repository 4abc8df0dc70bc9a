// Many seeds, a few at a time, and what came of them.

import { type Outcome, runSeed } from "./seed.ts";
import type { World } from "./world.ts";

/** Seeds under way at once: most of a seed's time is waiting. */
const LANES = 6;

export async function runSeeds(world: World, seeds: number[], told: (outcome: Outcome) => void = () => {}): Promise<Outcome[]> {
  const waiting = [...seeds];
  const outcomes: Outcome[] = [];
  const lane = async () => {
    for (let seed = waiting.shift(); seed !== undefined; seed = waiting.shift()) {
      const outcome = await runSeed(world, seed);
      outcomes.push(outcome);
      told(outcome);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return outcomes;
}

/** The sums of all seeds, for people. */
export function summary(outcomes: Outcome[], { restarts }: World): string {
  const sum = (figures: (outcome: Outcome) => Record<string, number>) => {
    const sums: Record<string, number> = {};
    for (const outcome of outcomes) for (const [name, figure] of Object.entries(figures(outcome))) sums[name] = (sums[name] ?? 0) + figure;
    return Object.entries(sums).map(([name, figure]) => `${figure} ${name}`).join(", ");
  };
  return [
    `${outcomes.length} seeds, ${outcomes.filter(({ faults }) => faults.length).length} with faults, ${restarts} restarts of the worker`,
    `  in the store: ${sum(({ tally }) => tally)}`,
    `  acts: ${sum(({ acts }) => acts)}`,
    `  requests: ${sum(({ proxy }) => proxy)}`,
  ].join("\n");
}
