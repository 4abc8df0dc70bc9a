import assert from "node:assert/strict";
import { test } from "node:test";

import type { Verdict, Verification, VerifiedBatch } from "../../www/src/api.ts";
import { mergeFindings, verdictSentence } from "../../www/src/verification.ts";

function page(verdict: Verdict, batches: Verdict[] = ["verified"]): Verification {
  return {
    execution: "run_1", verdict, tail_unknown: false, missing: [], dropped: [], next_cursor: null,
    batches: batches.map((found, k) => ({ k, verdict: found }) as VerifiedBatch),
  };
}

test("the gravest finding of any page or batch is the execution's", () => {
  assert.equal(mergeFindings([page("verified"), page("verified")]).verdict, "verified");
  assert.equal(mergeFindings([page("incomplete"), page("verified")]).verdict, "incomplete");
  assert.equal(mergeFindings([page("tampered"), page("incomplete")]).verdict, "tampered");
  assert.equal(mergeFindings([page("verified", ["verified", "tampered"])]).verdict, "tampered");
});

test("a verdict that this dashboard does not know is never shown as verified", () => {
  const findings = mergeFindings([page("verified"), page("quarantined" as Verdict)]);
  assert.equal(findings.verdict, "quarantined");
  assert.match(verdictSentence(findings), /not verified/);
});

test("the sentence counts what was altered", () => {
  assert.equal(
    verdictSentence(mergeFindings([page("tampered", ["verified", "tampered", "verified"])])),
    "1 of 3 batches no longer matches what was signed. Do not rely on this record.",
  );
});
