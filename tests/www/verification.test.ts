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

test("what was imported on another log's word is not said to be signed by who recorded it", () => {
  const found = page("verified", ["verified", "verified"]);
  const imported = { at: 5, by: "key_1", key: "stepseal/prj_a+00000000+AQ==" };
  const attested = { ...found, batches: found.batches.map((batch, k) => (k === 0 ? { ...batch, imported } : batch)) };
  assert.equal(
    verdictSentence(mergeFindings([attested])),
    "Nothing was altered since it was stored. No event is missing. 1 batch was imported, and is as the log stepseal/prj_a attested: "
    + "that signature was checked, not those of the pages that recorded.",
  );
  const own = { ...found, batches: found.batches.map((batch) => ({ ...batch, imported: { ...imported, key: null } })) };
  assert.match(verdictSentence(mergeFindings([own])), /carry valid signatures/);
});

test("the sentence counts what was altered", () => {
  assert.equal(
    verdictSentence(mergeFindings([page("tampered", ["verified", "tampered", "verified"])])),
    "1 of 3 batches no longer matches what was signed. Do not rely on this record.",
  );
});
