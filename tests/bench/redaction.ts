// `npm run bench -- redaction`: how fast secrets are looked for in real text and in the worst texts there are, and what is
// found in the real one. The fastest round counts, because everything else on the machine only slows a round down.

import { findSecrets } from "../../sdk-wasm/js/redaction/secrets.ts";
import { airlineRunsAbsent, readAirlineRuns } from "../fixtures/airline-runs.ts";

const ROUNDS = 9;

/** Milliseconds of the fastest round. */
function fastest(texts: string[]): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const begun = performance.now();
    for (const text of texts) findSecrets(text);
    best = Math.min(best, performance.now() - begun);
  }
  return best;
}

const bytesOf = (texts: string[]): number => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
const megabytesPerSecond = (texts: string[]): number => bytesOf(texts) / 1_000 / fastest(texts);

if (airlineRunsAbsent) {
  console.log(`real text left out: ${airlineRunsAbsent}`);
} else {
  const texts = readAirlineRuns().flatMap(({ messages }) => messages.map((message) => JSON.stringify(message)));
  const kinds: Record<string, number> = {};
  for (const { kind } of texts.flatMap((text) => findSecrets(text))) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const speed = megabytesPerSecond(texts);
  console.log(`airline runs, ${texts.length} messages, ${(bytesOf(texts) / 1e6).toFixed(2)} MB: ${speed.toFixed(0)} MB/s, ${(1e3 / speed).toFixed(1)} µs/kB`);
  console.log(`found there: ${JSON.stringify(kinds)}`);
}

console.log("the worst texts, MB/s at 100 kB and at 1 MB (linear: about the same)");
for (const unit of [
  "a", "word ", "-----BEGIN ", "-----BEGIN PRIVATE KEY", "4", "4242 ", "1 ", "eyJ", "eyJaaaaaaaaaaaaaaaaaaaaaa-", "@", "a@", "a@b.", "%40", "a%40", "://a:", "password: ",
  "password='", "authorization: ", "cookie:", "\\", "\\n", "sk-", "bearer ", "key-", ".", "A1b.", "1:AA", "[redacted ", "password=[redacted ", "é", "\"", "=", ":", "-", "_aaaaaaaaaaaaaaaa", "lsv2_sk_", "hooks.slack.com/",
]) {
  const [small, large] = [100_000, 1_000_000].map((length) => megabytesPerSecond([JSON.stringify(unit.repeat(length / unit.length))]));
  console.log(`  ${JSON.stringify(unit).padEnd(30)} ${small!.toFixed(1).padStart(8)} ${large!.toFixed(1).padStart(8)}`);
}
