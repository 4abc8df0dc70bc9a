/** One step: a line in the tree with its bar on the time line, and what it holds, once opened. */

import type { Step } from "./api.ts";
import { costLabel, statusLabel, tokens, usageParts } from "./controls.ts";
import { el, recorded, type Attributes, type Child } from "./dom.ts";
import { count, duration, NOTHING, timestamp } from "./format.ts";
import { icon } from "./icons.ts";
import { stepPreview } from "./step-preview.ts";
import { barOf, number, text, type Row, type TimeSpan } from "./step-tree.ts";
import { errorView, valueSection } from "./value-view.ts";

const KINDS = new Set(["llm", "tool", "retrieval", "embedding", "agent", "chain", "decision", "guardrail", "evaluator", "custom"]);
/** Deeper nesting is not indented further: the line must stay readable. */
const MAX_INDENT = 12;

/** Numbers the elements that need an id: what a trace calls a step may be no valid one. */
let drawn = 0;

export interface StepView {
  readonly item: HTMLElement;
  readonly line: HTMLButtonElement;
  /** Opens or closes the step. */
  toggle(open: boolean): void;
}

/** Up and down walk the lines, left and right close and open, as in any tree. */
export function moveBetweenSteps(views: readonly StepView[], event: KeyboardEvent): void {
  const at = views.findIndex((view) => view.line === event.target);
  if (at < 0) return;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: views.length - 1 }[event.key];
  if (to !== undefined) views[to]?.line.focus();
  else if (event.key === "ArrowRight") views[at]!.toggle(true);
  else if (event.key === "ArrowLeft") views[at]!.toggle(false);
  else return;
  event.preventDefault();
}

export function stepView(row: Row, span: TimeSpan, open: boolean, toggled: (open: boolean) => void): StepView {
  const { step, depth, orphan } = row;
  const kind = text(step.kind) ?? "step";
  const view = stepLine({ class: "step", "data-step": text(step.id) ?? row.key }, [
    el(
      "span",
      { class: "step-name" },
      icon("chevron"),
      kindLabel(kind),
      el("span", { class: "step-title" }, recorded(text(step.name) ?? NOTHING)),
      orphan ? el("span", { class: "faint", title: "Its parent step is not loaded or not stored" }, "↑?") : null,
      step.status === "ok" || step.status === undefined ? null : statusLabel(text(step.status) ?? "unknown"),
      el("span", { class: "step-preview" }, recorded(stepPreview(step))),
    ),
    el("span", { class: "step-tokens numeric" }, usageParts(step.usage).length === 0 ? null : tokens(step.usage)),
    el("span", { class: "step-duration numeric" }, step.status === "running" ? "…" : step.status === "abandoned" ? NOTHING : duration(number(step.duration_ms))),
    timeLine(step, span),
  ], () => stepContent(step), toggled);
  indent(view.line, depth);
  if (open) view.toggle(true);
  return view;
}

export function kindLabel(kind: string): HTMLElement {
  return el("span", { class: "kind", "data-kind": KINDS.has(kind) ? kind : "custom" }, recorded(kind));
}

export function indent(line: HTMLElement, depth: number): void {
  line.style.setProperty("--depth", String(Math.min(depth, MAX_INDENT)));
}

/** A line that opens to show more. */
export function stepLine(of: Attributes, parts: readonly Child[], content: () => readonly Node[], toggled: (open: boolean) => void = () => {}): StepView {
  drawn += 1;
  const bodyId = `step-body-${drawn}`;
  const line = el("button", { type: "button", class: "step-line", "aria-expanded": "false", "aria-controls": bodyId }, ...parts);
  const body = el("div", { class: "step-body", id: bodyId, hidden: true });
  let isOpen = false;
  const view: StepView = {
    item: el("li", of, line, body),
    line,
    toggle(next) {
      if (next === isOpen) return;
      isOpen = next;
      line.setAttribute("aria-expanded", String(next));
      body.hidden = !next;
      // Built when opened: a closed step costs one line, whatever it holds.
      body.replaceChildren(...(next ? content() : []));
      toggled(next);
    },
  };
  line.addEventListener("click", () => view.toggle(!isOpen));
  return view;
}

function timeLine(step: Step, span: TimeSpan): HTMLElement {
  const track = el("span", { class: "track", "aria-hidden": "true" });
  const bar = barOf(step, span);
  if (bar === null) return track;
  const status = step.status === "error" || step.status === "running" || step.status === "cancelled" ? step.status : "ok";
  const kind = text(step.kind);
  const shape = el("span", { class: "bar", "data-status": status, "data-kind": kind !== null && KINDS.has(kind) ? kind : "custom" });
  shape.style.setProperty("--left", `${bar.left * 100}%`);
  shape.style.setProperty("--width", `${bar.width * 100}%`);
  track.append(shape);
  return track;
}

function stepContent(step: Step): Node[] {
  const sections = [
    step.error === undefined || step.error === null ? null : el("section", { class: "value" }, el("h4", null, "Error"), errorView(step.error)),
    valueSection("Reasoning", step.reasoning),
    valueSection("Input", step.input),
    valueSection("Output", step.output),
    valueSection("Metadata", step.metadata),
  ].filter((section) => section !== null);
  return [stepFacts(step), ...(sections.length > 0 ? sections : [el("p", { class: "faint" }, "No content was recorded for this step.")])];
}

function stepFacts(step: Step): HTMLElement {
  const facts: [string, Child][] = [];
  const at = number(step.at);
  if (at !== null) facts.push(["Started", timestamp(at)]);
  if (number(step.duration_ms) !== null) facts.push(["Duration", duration(number(step.duration_ms))]);
  if (number(step.ttft_ms) !== null) facts.push(["First token", duration(number(step.ttft_ms))]);
  if (text(step.model) !== null) facts.push(["Model", recorded(text(step.model)!)]);
  if (text(step.provider) !== null) facts.push(["Provider", recorded(text(step.provider)!)]);
  const usage = usageParts(step.usage);
  if (usage.length > 0) facts.push(["Tokens", usage.map(([label, value]) => `${count(value)} ${label}`).join(" · ")]);
  if (number(step.cost_usd) !== null) facts.push(["Cost", costLabel(number(step.cost_usd))]);
  const derived = number(step.derived_cost_usd);
  if (derived !== null) facts.push(["Cost", el("span", null, costLabel(derived), ` by the project's prices, version ${number(step.price_version) ?? "?"}`)]);
  const tool = step.tool as { name?: unknown; call_id?: unknown } | null | undefined;
  if (typeof tool === "object" && tool !== null) {
    if (text(tool.name) !== null) facts.push(["Tool", recorded(text(tool.name)!)]);
    if (text(tool.call_id) !== null) facts.push(["Call id", el("code", null, text(tool.call_id))]);
  }
  if (text(step.id) !== null) facts.push(["Step id", el("code", null, text(step.id))]);
  facts.push(["Event", step.writer === "" ? `${step.n} in batch ${step.k}` : `${step.n} of ${step.writer} in batch ${step.k}`]);
  return factList(facts, "step-facts");
}

export function factList(facts: readonly [string, Child][], kind: string): HTMLElement {
  return el("dl", { class: `facts ${kind}` }, ...facts.map(([term, value]) => el("div", null, el("dt", null, term), el("dd", null, value))));
}
