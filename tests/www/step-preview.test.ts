import assert from "node:assert/strict";
import { test } from "node:test";

import type { Step } from "../../www/src/api.ts";
import { stepPreview } from "../../www/src/step-preview.ts";

const PREVIEWS: [string, Partial<Step>, string][] = [
  ["what a message says", { kind: "llm", output: { role: "assistant", content: "Hello\n\n there" } }, "Hello there"],
  ["whom a message calls", { output: { content: null, tool_calls: [{ function: { name: "a" } }, { function: { name: "b" } }] } }, "→ a, b"],
  ["a tool's arguments", { kind: "tool", input: { id: 7, tags: [1], filter: {} }, output: "x" }, "id: 7, tags: […], filter: {…}"],
  ["what stands for a value", { kind: "tool", input: { card: { $redacted: { kind: "card", mark: "1657f218" } } } }, "card: redacted card 1657f218"],
  ["an error before all else", { kind: "tool", input: { id: 7 }, error: { message: "timed out" } }, "timed out"],
  ["nothing", { kind: "tool", input: null, output: undefined }, ""],
  ["a long text, cut", { output: "ab".repeat(500) }, `${"ab".repeat(80)}…`],
];

for (const [what, fields, preview] of PREVIEWS) {
  test(`a closed step shows ${what}`, () => {
    assert.equal(stepPreview({ writer: "", k: 0, n: 0, ...fields }), preview);
  });
}
