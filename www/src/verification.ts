/** What verifying an execution found, over all pages of the reply, in plain words. Pure. */

import type { Verdict, Verification } from "./api.ts";
import { plural } from "./format.ts";

export type Findings = Omit<Verification, "next_cursor">;

/** Worst first: one page's finding holds for the whole execution. */
const BY_GRAVITY: readonly Verdict[] = ["tampered", "deleted", "key_retired", "unsigned", "incomplete", "verified"];

export function mergeFindings(pages: readonly Verification[]): Findings {
  const last = pages.at(-1);
  if (last === undefined) throw new RangeError("no page to merge");
  const batches = pages.flatMap((page) => page.batches);
  const found = new Set<Verdict>([...pages.map((page) => page.verdict), ...batches.map((batch) => batch.verdict)]);
  return {
    execution: last.execution,
    // An unknown verdict, of a newer server, counts as the gravest: never shown as verified.
    verdict: [...found].find((verdict) => !BY_GRAVITY.includes(verdict)) ?? BY_GRAVITY.find((verdict) => found.has(verdict))!,
    tail_unknown: last.tail_unknown,
    batches,
    missing: pages.flatMap((page) => page.missing),
    dropped: pages.flatMap((page) => page.dropped),
  };
}

export function verdictLabel(verdict: Verdict): string {
  switch (verdict) {
    case "verified": return "Verified";
    case "tampered": return "Tampered";
    case "incomplete": return "Incomplete";
    case "unsigned": return "Unsigned";
    case "key_retired": return "Key retired";
    case "deleted": return "Deleted";
    default: return String(verdict);
  }
}

/** What a person who never read the protocol can act on. */
export function verdictSentence(findings: Findings): string {
  return [sentence(findings), importSentence(findings)].filter(Boolean).join(" ");
}

/** Of batches whose own signatures cannot be checked here: on whose word they are what they are. */
function importSentence({ batches }: Findings): string {
  const attested = batches.filter((batch) => batch.imported?.key);
  if (attested.length === 0) return "";
  const logs = [...new Set(attested.map((batch) => batch.imported!.key!.split("+")[0]))].join(", ");
  const were = attested.length === 1 ? "batch was imported, and is" : "batches were imported, and are";
  return `${attested.length} ${were} as the log ${logs} attested: that signature was checked, not those of the pages that recorded.`;
}

function sentence(findings: Findings): string {
  const total = findings.batches.length;
  const altered = findings.batches.filter((batch) => batch.verdict === "tampered").length;
  switch (findings.verdict) {
    case "verified":
      // Of those that another log attested the next sentence speaks.
      if (findings.batches.some((batch) => batch.imported?.key)) return "Nothing was altered since it was stored. No event is missing.";
      return total === 1
        ? "Its one batch carries a valid signature and is stored exactly as it was sent. No event is missing."
        : `All ${plural(total, "batch", "batches")} carry valid signatures and are stored exactly as they were sent. No event is missing.`;
    case "tampered":
      if (altered === 0) return "The stored record no longer agrees with what was signed.";
      if (total === 1) return "Its one batch no longer matches what was signed. Do not rely on this record.";
      return `${altered} of ${plural(total, "batch", "batches")} no longer ${altered === 1 ? "matches" : "match"} what was signed. Do not rely on this record.`;
    case "incomplete":
      return `What is stored is signed and unchanged (${plural(total, "batch", "batches")}), but events are missing.`;
    case "key_retired":
      return "Some batches were signed under a key that is no longer kept, so their signatures cannot be checked.";
    case "unsigned":
      return "Spans of this execution came without batch signatures, so there is nothing to check them against.";
    case "deleted":
      return "This execution was deleted. Only its tombstone remains.";
    default:
      return "This dashboard does not know this verdict. Treat the record as not verified.";
  }
}

export function eventRange(from: number | null, to: number | null): string {
  if (from === null) return "events of unknown number";
  return to === null || to === from ? `event ${from}` : `events ${from} to ${to}`;
}
