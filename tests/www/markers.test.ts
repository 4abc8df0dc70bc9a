import assert from "node:assert/strict";
import { test } from "node:test";

import { markerText } from "../../www/src/markers.ts";

const MARKERS: [unknown, string | null][] = [
  [{ $redacted: { kind: "email", mark: "1a2b3c4d" } }, "redacted email 1a2b3c4d"],
  [{ $redacted: { kind: "content" } }, "redacted content"],
  [{ $cut: { bytes: 600_002, sha256: "x", start: "how it began" } }, "shortened, 600.0 kB: how it began…"],
  [{ $cut: { bytes: 900 } }, "shortened, 900 B"],
  [{ $blob: { sha256: "x", bytes: 5_000, type: "image/png" } }, "file, image/png, 5.0 kB"],
  [{ $bad: "too_deep" }, "not recorded: too deep"],
  [{ $bad: "bigint", value: "1" }, "not recorded: bigint 1"],
  [{ $missing: { message: 3 } }, "message 3 is not stored"],
  [{ $redacted: { kind: "email" }, more: 1 }, null],
  [{ $msgs: [[0, 1]] }, null],
  [{ redacted: "x" }, null],
  [{}, null],
  [[{ $bad: "x" }], null],
  ["$bad", null],
];

for (const [value, words] of MARKERS) {
  test(`${JSON.stringify(value)} reads as ${JSON.stringify(words)}`, () => assert.equal(markerText(value), words));
}
