/**
 * Steps nested by parent, in reading order, each with its place on the
 * execution's time line. Pure, and safe on any input: a trace may name parents
 * that are missing, repeated or their own descendants.
 */

import type { Step } from "./api.ts";

export interface Row {
  readonly step: Step;
  /** Unique among an execution's steps, whatever ids they carry. */
  readonly key: string;
  readonly depth: number;
  /** Names a parent that is not among the steps: not loaded yet, or never stored. */
  readonly orphan: boolean;
}

export interface TimeSpan {
  readonly start: number;
  readonly end: number;
}

/** Left edge and width of a bar, as fractions of the time line. */
export interface Bar {
  readonly left: number;
  readonly width: number;
}

export function stepKey(step: Step): string {
  return `${step.writer}:${step.n}`;
}

/**
 * Without the beginnings of steps whose end is there too, on a later page. `isAll`: nothing more will come, so what has
 * not ended will not.
 */
export function settledSteps(steps: readonly Step[], isAll: boolean): readonly Step[] {
  const idOf = (step: Step) => `${step.writer}:${text(step.id)}`;
  const ended = new Set(steps.filter((step) => step.status !== "running").map(idOf));
  return steps
    .filter((step) => step.status !== "running" || text(step.id) === null || !ended.has(idOf(step)))
    .map((step) => (isAll && step.status === "running" ? { ...step, status: "abandoned" } : step));
}

/** Depth-first, siblings by start; every step appears exactly once. */
export function layOutSteps(steps: readonly Step[]): Row[] {
  const byId = new Map<string, Step>();
  for (const step of steps) {
    const id = text(step.id);
    if (id !== null && !byId.has(id)) byId.set(id, step);
  }
  const children = new Map<Step, Step[]>();
  const roots: Step[] = [];
  for (const step of steps) {
    const parent = parentOf(step, byId);
    if (parent === null) roots.push(step);
    else if (children.has(parent)) children.get(parent)!.push(step);
    else children.set(parent, [step]);
  }
  const rows: Row[] = [];
  const placed = new Set<Step>();
  walk(roots, children, byId, placed, rows);
  // What is left hangs below itself: shown as roots, rather than not at all.
  for (const step of bySequence(steps)) {
    if (!placed.has(step)) walk([step], children, byId, placed, rows);
  }
  return rows;
}

/** The time that the steps and their execution cover. */
export function spanOf(steps: readonly Step[], startedAt: number, endedAt: number | null): TimeSpan {
  let start = startedAt;
  let end = endedAt ?? startedAt;
  for (const step of steps) {
    const at = number(step.at);
    if (at === null) continue;
    start = Math.min(start, at);
    end = Math.max(end, at + (number(step.duration_ms) ?? 0));
  }
  return { start, end: Math.max(end, start + 1) };
}

/** A running step's bar reaches to the end; null for a step without a time. */
export function barOf(step: Step, span: TimeSpan): Bar | null {
  const at = number(step.at);
  if (at === null) return null;
  const total = span.end - span.start;
  const left = clamp((at - span.start) / total);
  const length = step.status === "running" ? span.end - at : (number(step.duration_ms) ?? 0);
  return { left, width: Math.min(clamp(length / total), 1 - left) };
}

/** A number that a trace states as one, or null. */
export function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** A text that a trace states as one and that is not blank, or null. */
export function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** With a stack of its own: nesting may be deeper than the engine's. */
function walk(
  from: Step[],
  children: ReadonlyMap<Step, Step[]>,
  byId: ReadonlyMap<string, Step>,
  placed: Set<Step>,
  rows: Row[],
): void {
  const stack = bySequence(from).reverse().map((step) => ({ step, depth: 0 }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { step, depth } = next;
    if (placed.has(step)) continue;
    placed.add(step);
    const orphan = text(step.parent) !== null && !byId.has(String(step.parent));
    rows.push({ step, key: stepKey(step), depth, orphan });
    for (const child of bySequence(children.get(step) ?? []).reverse()) stack.push({ step: child, depth: depth + 1 });
  }
}

function parentOf(step: Step, byId: ReadonlyMap<string, Step>): Step | null {
  const id = text(step.parent);
  const parent = id === null ? undefined : byId.get(id);
  return parent === undefined || parent === step ? null : parent;
}

/** By start, then by number: within one writer the number is the order of events. */
function bySequence(steps: readonly Step[]): Step[] {
  return [...steps].sort((a, b) => (number(a.at) ?? 0) - (number(b.at) ?? 0) || a.n - b.n);
}

function clamp(fraction: number): number {
  return Math.min(Math.max(fraction, 0), 1);
}
