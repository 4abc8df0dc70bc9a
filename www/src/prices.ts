/** A project's prices as they are read and typed. Pure. */

import type { Price, Rates, WantedPrice } from "./administration.ts";
import { timestamp } from "./format.ts";

export type Bucket = keyof Rates;
export type Member = "model" | "valid_from" | "valid_until" | Bucket;

/** What each bucket is called, and what it costs unless that is said. */
export const BUCKETS: readonly { readonly name: Bucket; readonly label: string; readonly as: "input" | "output" | null }[] = [
  { name: "input", label: "Input", as: null },
  { name: "cache_read", label: "Cache read", as: "input" },
  { name: "cache_write", label: "Cache write", as: "input" },
  { name: "output", label: "Output", as: null },
  { name: "reasoning", label: "Reasoning", as: "output" },
];

/** What is typed of a price. */
export type Draft = Readonly<Record<Member, string>>;

/** Stands for what a control holds that is no value: a control gives an empty text for it. */
export const UNREADABLE = "?";

export interface Fault {
  readonly member: Member;
  readonly message: string;
}

/** A price to be changed. What costs the same as what it is a kind of is left out, and follows that. */
export function draftOf({ model, valid_from, valid_until, usd_per_million: usd }: Price): Draft {
  const rates = Object.fromEntries(BUCKETS.map(({ name, as }) => [name, as !== null && usd[name] === usd[as] ? "" : String(usd[name])])) as Record<Bucket, string>;
  return { model, valid_from: localTime(valid_from), valid_until: localTime(valid_until), ...rates };
}

export const EMPTY_DRAFT: Draft = { model: "", valid_from: "", valid_until: "", input: "", cache_read: "", cache_write: "", output: "", reasoning: "" };

/** What to send; a fault where what is typed is no value. What the API refuses of values, it says itself. */
export function wantedOf(draft: Draft, before: Price | null): WantedPrice | Fault {
  const rates: Partial<Record<Bucket, number>> = {};
  for (const { name, as } of BUCKETS) {
    const typed = draft[name].trim();
    if (typed === "" && as !== null) continue;
    const usd = typed === "" ? NaN : Number(typed);
    if (!Number.isFinite(usd)) return { member: name, message: "Type a number of US dollars." };
    rates[name] = usd;
  }
  const times = { valid_from: timeOf(draft.valid_from, before?.valid_from), valid_until: timeOf(draft.valid_until, before?.valid_until) };
  for (const member of ["valid_from", "valid_until"] as const) {
    if (Number.isNaN(times[member])) return { member, message: "Type a whole date and time, or none." };
  }
  return { model: draft.model.trim(), ...times, usd_per_million: rates };
}

export function isFault(wanted: WantedPrice | Fault): wanted is Fault {
  return "member" in wanted;
}

/** The row and the control that a problem's `field` means; null of what stands in no row. */
export function placeOf(field: string | null): { readonly row: number; readonly member: Member | null } | null {
  const [, row, member] = /^prices\[(\d+)\](?:\.(?:usd_per_million\.)?(\w+))?$/.exec(field ?? "") ?? [];
  if (row === undefined) return null;
  const known = member !== undefined && Object.hasOwn(EMPTY_DRAFT, member) ? (member as Member) : null;
  return { row: Number(row), member: known };
}

/** As a control for date and time takes it, in the reader's zone. */
export function localTime(ms: number | null): string {
  if (ms === null) return "";
  const at = new Date(ms);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** Unix ms, null for none. An hour that a zone has twice is the one it was, unless it was changed. */
function timeOf(typed: string, before: number | null = null): number | null {
  if (typed === "") return null;
  const ms = new Date(typed).getTime();
  return before !== null && new Date(localTime(before)).getTime() === ms ? before : ms;
}

const DOLLARS = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 9 });

export function dollars(usd: number): string {
  return DOLLARS.format(usd);
}

/** When a price holds, by the time of a step. */
export function validityOf({ valid_from: from, valid_until: until }: Price): string {
  const minute = (ms: number) => timestamp(ms).slice(0, 16);
  if (from === null && until === null) return "always";
  return [from === null ? "" : `from ${minute(from)}`, until === null ? "" : `until ${minute(until)}`].filter((part) => part !== "").join(" ");
}
