/** What two executions did alike and otherwise, in words and figures. Pure. */

import type { Change, ComparedExecution, ComparedStep, Comparison } from "./api.ts";
import { count, duration, plural } from "./format.ts";

export const CHANGES: Readonly<Record<Change, string>> = { same: "same", changed: "changed", only_a: "only in A", only_b: "only in B" };
/** Below it, two sums of the same dollars differ by how they were added up. */
const SAME_BELOW = 1e-9;

/** `+1.50 s (+30%)`, from A to B; null where either has no value. */
export function differenceOf(a: number | null, b: number | null, shown: (value: number) => string): string | null {
  if (a === null || b === null) return null;
  const more = b - a;
  if (Math.abs(more) < SAME_BELOW) return "none";
  const sign = more > 0 ? "+" : "−";
  return `${sign}${shown(Math.abs(more))}${a > 0 ? ` (${sign}${percent(Math.abs(more) / a)})` : ""}`;
}

function percent(fraction: number): string {
  return fraction < 0.01 ? "<1%" : `${count(fraction * 100)}%`;
}

/** When B began, as seen from A. */
export function beginningOf(a: number, b: number): string {
  if (a === b) return "at the same time";
  return `${duration(Math.abs(b - a))} ${b > a ? "later" : "earlier"}`;
}

/** The member that a JSON Pointer leads into. */
export function memberOf(path: string): string {
  return path.split("/")[1] ?? "";
}

/** Which members of a step differ, each once. */
export function differingMembers({ differences = [] }: ComparedStep): string[] {
  return [...new Set(differences.map(({ path }) => memberOf(path)))];
}

/** How many characters two texts have in common at their beginnings and at their ends. */
export function commonEnds(a: string, b: string): { start: number; end: number } {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start += 1;
  // A cut between the halves of a surrogate pair would show a broken character.
  if (isHigh(a[start - 1])) start -= 1;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  if (isLow(a[a.length - end])) end -= 1;
  return { start, end };
}

const isHigh = (half: string | undefined) => half !== undefined && /[\uD800-\uDBFF]/.test(half);
const isLow = (half: string | undefined) => half !== undefined && /[\uDC00-\uDFFF]/.test(half);

/** What the comparison leaves out, a sentence each. */
export function limitsOf({ a, b, truncated }: Comparison): string[] {
  const cut = ([["A", a], ["B", b]] as const).filter(([, execution]) => execution.truncated);
  if (cut.length > 0) return [`Only the beginning is compared: ${cut.map(([side, execution]) => beginningCompared(side, execution)).join(", and ")}.`];
  return truncated ? ["Not every difference is told: the steps hold more values than one comparison looks at."] : [];
}

function beginningCompared(side: string, { compared_steps: compared, steps }: ComparedExecution): string {
  return `the first ${count(compared)} of ${plural(Math.max(steps, compared), "step")} of ${side}`;
}

/** `1 changed, 2 only in B, 30 same`, without what there is none of. */
export function countsOf(counts: Comparison["counts"]): string {
  const order: Change[] = ["changed", "only_a", "only_b", "same"];
  return order.filter((change) => counts[change] > 0).map((change) => `${count(counts[change])} ${CHANGES[change]}`).join(", ");
}
