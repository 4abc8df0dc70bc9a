// `npm run bench -- chaos [SEEDS] [FIRST]`: the chaos test on many seeds. One that fails is run again alone by
// `npm run bench -- chaos 1 SEED`.

import { runSeeds, summary } from "../chaos/seeds.ts";
import { World } from "../chaos/world.ts";

const [count, first] = [Number(process.argv[2] ?? 300), Number(process.argv[3] ?? 1)];
const began = performance.now();
const world = await World.make();
const outcomes = await runSeeds(world, Array.from({ length: count }, (_, index) => first + index), ({ seed, faults }) => {
  for (const fault of faults) console.log(`seed ${seed}: ${fault}`);
});
await world.end();
console.log(summary(outcomes, world));
console.log(`${Math.round((performance.now() - began) / 1_000)} s`);
process.exitCode = outcomes.some(({ faults }) => faults.length) ? 1 : 0;
