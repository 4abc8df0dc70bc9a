/** Small parts that several pages show alike. */

import type { ExecutionStatus, Usage } from "./api.ts";
import { el, on, recorded, replaceChildren, type Child } from "./dom.ts";
import { compactCount, cost, count, NOTHING, timeAgo, timestamp } from "./format.ts";
import { icon } from "./icons.ts";

const STATUSES = new Set<string>(["running", "waiting", "completed", "failed", "cancelled", "abandoned", "ok", "error"]);

/** A coloured dot with the word, for the status of an execution or a step. */
export function statusLabel(status: ExecutionStatus | string): HTMLElement {
  return el(
    "span",
    { class: "status", "data-status": STATUSES.has(status) ? status : "unknown" },
    el("span", { class: "dot", "aria-hidden": "true" }),
    status,
  );
}

/** Relative, with the exact time on hover; `refreshTimes` keeps it true. */
export function time(ms: number): HTMLElement {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return el("span", null, NOTHING);
  return el("time", { datetime: at.toISOString(), title: timestamp(ms) }, timeAgo(ms, Date.now()));
}

export function refreshTimes(within: ParentNode): void {
  for (const element of within.querySelectorAll("time")) {
    element.textContent = timeAgo(Date.parse(element.dateTime), Date.now());
  }
}

export function recordedOrNothing(text: string | null): HTMLElement {
  return text === null || text === "" ? el("span", { class: "faint" }, NOTHING) : recorded(text);
}

const USAGE_LABELS: [keyof Usage, string][] = [
  ["input", "input"],
  ["cache_read", "cache read"],
  ["cache_write", "cache write"],
  ["output", "output"],
  ["reasoning", "reasoning"],
];

/** The buckets exclude each other, so their sum counts no token twice. */
export function totalTokens(usage: unknown): number {
  return usageParts(usage).reduce((total, [, value]) => total + value, 0);
}

export function usageParts(usage: unknown): [string, number][] {
  if (typeof usage !== "object" || usage === null) return [];
  return USAGE_LABELS.flatMap(([key, label]): [string, number][] => {
    const value = (usage as Usage)[key];
    return typeof value === "number" && value > 0 ? [[label, value]] : [];
  });
}

/** The total, with its buckets on hover. */
export function tokens(usage: unknown): HTMLElement {
  const parts = usageParts(usage);
  if (parts.length === 0) return el("span", { class: "faint" }, NOTHING);
  const detail = parts.map(([label, value]) => `${label} ${count(value)}`).join(", ");
  return el("span", { title: detail }, compactCount(totalTokens(usage)));
}

export function costLabel(usd: number | null): HTMLElement {
  const label = cost(usd);
  return el("span", label === NOTHING ? { class: "faint" } : { title: `$${usd}` }, label);
}

const COMPLETENESS = {
  complete: "Every event is stored, or dropped with a reason.",
  incomplete: "Events are missing.",
  open: "Still being written: its end has not arrived.",
} as const;

export function completenessLabel(value: string): HTMLElement {
  const known = value in COMPLETENESS ? (value as keyof typeof COMPLETENESS) : null;
  return el(
    "span",
    { class: "completeness", "data-completeness": known ?? "unknown", title: known === null ? undefined : COMPLETENESS[known] },
    value,
  );
}

export function copyButton(text: string, label = "Copy"): HTMLButtonElement {
  const button = el("button", { type: "button", class: "icon-button", title: label, "aria-label": label }, icon("copy"));
  return on(button, {
    click: () => {
      navigator.clipboard.writeText(text).then(
        () => flash(button, icon("check"), "Copied"),
        () => flash(button, icon("cross"), "The browser refused to copy"),
      );
    },
  });
}

function flash(button: HTMLButtonElement, mark: Node, label: string): void {
  const title = button.title;
  replaceChildren(button, mark);
  button.title = label;
  setTimeout(() => {
    replaceChildren(button, icon("copy"));
    button.title = title;
  }, 1500);
}

/** A message about the page itself; `alert` interrupts a screen reader, `status` waits. */
export function notice(kind: "problem" | "info", ...children: Child[]): HTMLElement {
  return el(
    "div",
    { class: "notice", "data-kind": kind, role: kind === "problem" ? "alert" : "status" },
    kind === "problem" ? icon("alert") : null,
    el("div", null, ...children),
  );
}

export function codeBlock(code: string): HTMLElement {
  return el("div", { class: "block" }, el("div", { class: "block-tools" }, copyButton(code)), el("pre", { class: "text code" }, code));
}

/** Calls `tick` every `ms` while the page is seen, and at once when it comes back into view. */
export function whileVisible(ms: number, signal: AbortSignal, tick: () => void): void {
  const timer = setInterval(() => {
    if (document.visibilityState === "visible") tick();
  }, ms);
  const seen = () => {
    if (document.visibilityState === "visible") tick();
  };
  document.addEventListener("visibilitychange", seen, { signal });
  signal.addEventListener("abort", () => clearInterval(timer));
}
