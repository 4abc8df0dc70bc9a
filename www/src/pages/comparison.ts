/** Two executions side by side: their sums, and their steps aligned. */

import { compareExecutions, Problem, readExecution, type ComparedExecution, type ComparedSide, type ComparedStep, type Comparison, type Difference } from "../api.ts";
import { costLabel, notice, statusLabel, time, totalTokens, usageParts } from "../controls.ts";
import { beginningOf, CHANGES, commonEnds, countsOf, differenceOf, differingMembers, limitsOf } from "../comparison.ts";
import { el, on, recorded, replaceChildren, type Child } from "../dom.ts";
import { compactCount, cost, count, duration, NOTHING, timestamp } from "../format.ts";
import { icon } from "../icons.ts";
import { comparisonPath, executionPath } from "../router.ts";
import { indent, kindLabel, moveBetweenSteps, stepLine, type StepView } from "../step-view.ts";
import type { PageContext } from "./page.ts";

export function showComparison(context: PageContext, a: string, b: string): void {
  document.title = "Compare executions · Stepseal";
  const { host, signal } = context;
  replaceChildren(host, pageHead(a, b), el("p", { class: "faint", role: "status" }, "Comparing…"));
  compareExecutions(a, b, signal).then(
    (comparison) => draw(host, comparison),
    (error: unknown) => fail(context, [a, b], error),
  );
}

function pageHead(a: string, b: string): HTMLElement {
  return el(
    "div",
    null,
    el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, el("a", { href: "/" }, "Executions"), " / "),
    el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, "Compare executions"), el("a", { href: comparisonPath(b, a) }, "Swap A and B")),
  );
}

function draw(host: HTMLElement, comparison: Comparison): void {
  const { a, b } = comparison;
  document.title = `${a.name ?? a.id} and ${b.name ?? b.id} · Stepseal`;
  const limits = [...limitsOf(comparison), ...stillWriting(comparison)];
  showBelowHead(host, ...limits.map((limit) => notice("info", limit)), executionsTable(a, b), stepsSection(comparison));
}

/** The head stays in place: the focus may be in it. */
function showBelowHead(host: HTMLElement, ...contents: HTMLElement[]): void {
  for (const former of [...host.children].slice(1)) former.remove();
  host.append(...contents);
}

function stillWriting({ a, b }: Comparison): string[] {
  const open = ([["A", a], ["B", b]] as const).filter(([, { status }]) => status === "running" || status === "waiting");
  return open.length === 0 ? [] : [`${open.map(([side]) => side).join(" and ")} goes on: this compares what has arrived.`];
}

// ---- failures ----

async function fail({ host, signal }: PageContext, ids: readonly [string, string], error: unknown): Promise<void> {
  if (signal.aborted) return;
  // The reply names neither.
  const absent = error instanceof Problem && error.status === 404 ? await absentOf(ids, signal) : [];
  if (signal.aborted) return;
  const shown = absent.length > 0 ? noneSuch(ids, absent) : notice("problem", error instanceof Error ? error.message : String(error));
  showBelowHead(host, shown);
}

async function absentOf(ids: readonly [string, string], signal: AbortSignal): Promise<string[]> {
  const answers = await Promise.allSettled(ids.map((id) => readExecution(id, signal)));
  return ids.filter((_, index) => {
    const answer = answers[index]!;
    return answer.status === "rejected" && answer.reason instanceof Problem && answer.reason.status === 404;
  });
}

function noneSuch([a, b]: readonly [string, string], absent: readonly string[]): HTMLElement {
  const line = (side: string, id: string) => absent.includes(id)
    ? el("p", null, el("strong", null, `${side} is not here. `), "This project holds no execution ", el("code", null, id), ". It may not have arrived yet, or it was deleted.")
    : el("p", null, `${side} is here: `, el("a", { href: executionPath(id) }, el("code", null, id)), ".");
  return el("div", { class: "empty", role: "alert" }, el("h2", null, "There is nothing to compare"), line("A", a), line("B", b), el("p", null, el("a", { href: "/" }, "All executions")));
}

// ---- the two ----

/** What is told of both: its name, each one's value, and what B has more. */
type Row = readonly [label: string, a: Child, b: Child, difference: string | null];

function executionsTable(a: ComparedExecution, b: ComparedExecution): HTMLElement {
  const heading = (side: "A" | "B", execution: ComparedExecution) => [
    sideMark(side),
    el("a", { href: executionPath(execution.id), class: "side-name" }, recorded(execution.name ?? execution.id)),
    el("code", null, execution.id),
  ];
  const rows: Row[] = [
    ["Status", statusLabel(a.status), statusLabel(b.status), a.status === b.status ? "none" : "differs"],
    ["Started", time(a.started_at), time(b.started_at), beginningOf(a.started_at, b.started_at)],
    ["Duration", duration(a.duration_ms), duration(b.duration_ms), differenceOf(a.duration_ms, b.duration_ms, duration)],
    ["Steps", stepCount(a), stepCount(b), differenceOf(a.steps, b.steps, count)],
    tokensRow(a.usage, b.usage),
    ["Cost", executionCost(a), executionCost(b), differenceOf(a.cost_usd, b.cost_usd, cost)],
  ];
  const [ttftA, ttftB] = [a.ttft_ms ?? null, b.ttft_ms ?? null];
  if (ttftA !== null || ttftB !== null) rows.splice(3, 0, ["First token", duration(ttftA), duration(ttftB), differenceOf(ttftA, ttftB, duration)]);
  return sidesTable("Both executions", [heading("A", a), heading("B", b)], rows);
}

function stepCount({ steps, error_steps: failed }: ComparedExecution): HTMLElement {
  return el("span", null, count(steps), failed === 0 ? null : el("small", { class: "error-count" }, `${count(failed)} failed`));
}

function executionCost({ cost_usd: usd, derived_cost_usd: derived }: ComparedExecution): HTMLElement {
  return el("span", null, costLabel(usd), derived ? el("small", null, costLabel(derived), " by the project's prices") : null);
}

function tokensRow(a: unknown, b: unknown): Row {
  return ["Tokens", tokenCount(a), tokenCount(b), differenceOf(totalTokens(a), totalTokens(b), count)];
}

function tokenCount(usage: unknown): HTMLElement {
  const parts = usageParts(usage);
  if (parts.length === 0) return el("span", { class: "faint" }, NOTHING);
  return el("span", null, count(totalTokens(usage)), el("small", null, parts.map(([label, value]) => `${count(value)} ${label}`).join(" · ")));
}

function sideMark(side: "A" | "B"): HTMLElement {
  return el("span", { class: "side-mark", "data-side": side }, side);
}

/** Roles are said again: the narrow layout takes those of the elements away. */
function sidesTable(label: string, [a, b]: readonly [Child[], Child[]], rows: readonly Row[]): HTMLElement {
  const heading = (...children: Child[]) => el("th", { scope: "col", role: "columnheader" }, ...children);
  const cell = (child: Child) => el("td", { role: "cell" }, child);
  return el("table", { class: "plain sides", role: "table", "aria-label": label },
    el("thead", { role: "rowgroup" },
      el("tr", { role: "row" }, heading(el("span", { class: "visually-hidden" }, "What")), heading(...a), heading(...b), heading("Difference"))),
    el("tbody", { role: "rowgroup" }, ...rows.map(([what, ofA, ofB, difference]) =>
      el("tr", { role: "row", "data-row": what },
        el("th", { scope: "row", role: "rowheader" }, what), cell(ofA), cell(ofB),
        el("td", { role: "cell", class: difference === "none" || difference === null ? "faint" : "differs" }, difference ?? NOTHING)))));
}

// ---- the steps ----

function stepsSection(comparison: Comparison): HTMLElement {
  const { steps, counts, a, b } = comparison;
  const views = steps.map((step) => comparedStep(step, a, b));
  const list = el("ol", { class: "step-list" }, ...views.map(({ item }) => item));
  on(list, { keydown: (event) => moveBetweenSteps(views.filter(({ item }) => !item.hidden), event) });
  const section = el("section", { class: "steps compared", "aria-label": "Steps" },
    el("div", { class: "section-head" },
      el("h2", null, "Steps ", el("span", { class: "faint" }, countsOf(counts))), steps.length === 0 ? null : listTools(steps, views)));
  if (steps.length === 0) section.append(el("p", { class: "empty faint" }, "Neither has a step."));
  else section.append(columnTitles(), list);
  return section;
}

function listTools(steps: readonly ComparedStep[], views: readonly StepView[]): HTMLElement {
  const onlyDifferences = el("input", { type: "checkbox", id: "only-differences" });
  on(onlyDifferences, {
    change: () => views.forEach(({ item }, index) => { item.hidden = onlyDifferences.checked && steps[index]!.change === "same"; }),
  });
  const all = (label: string, open: boolean) =>
    on(el("button", { type: "button", class: "link" }, label), { click: () => views.filter(({ item }) => !item.hidden).forEach((view) => view.toggle(open)) });
  return el("div", { class: "actions" }, el("label", { class: "check" }, onlyDifferences, "Differences only"), all("Open all", true), all("Close all", false));
}

function columnTitles(): HTMLElement {
  return el("div", { class: "axis", "aria-hidden": "true" }, el("span"), ...["Duration", "Tokens", "Cost"].map((title) => el("span", { class: "numeric" }, title)));
}

function comparedStep(step: ComparedStep, a: ComparedExecution, b: ComparedExecution): StepView {
  const sides = [step.a, step.b] as const;
  const members = differingMembers(step);
  const view = stepLine({ class: "step", "data-change": step.change, "data-name": step.name }, [
    el("span", { class: "step-name" },
      icon("chevron"),
      el("span", { class: "change", "data-change": step.change }, CHANGES[step.change]),
      kindLabel(step.kind),
      el("span", { class: "step-title" }, recorded(step.name)),
      members.length === 0 ? null : el("span", { class: "step-preview" }, members.join(", "))),
    figures("duration", sides, ({ duration_ms }) => duration(duration_ms)),
    figures("tokens", sides, ({ usage }) => (totalTokens(usage) === 0 ? NOTHING : compactCount(totalTokens(usage)))),
    figures("cost", sides, ({ cost_usd }) => cost(cost_usd)),
  ], () => stepContent(step, a, b));
  indent(view.line, step.under.length);
  return view;
}

/** One figure where there is one, or where both are alike; else A's and B's. */
function figures(what: string, [a, b]: readonly [ComparedSide | null, ComparedSide | null], shown: (side: ComparedSide) => string): HTMLElement {
  const [ofA, ofB] = [a === null ? null : shown(a), b === null ? null : shown(b)];
  const label = el("span", { class: "figure-label" }, `${what} `);
  const alike = ofA === null || ofB === null || ofA === ofB ? ofA ?? ofB : null;
  return el("span", { class: "figures-of numeric", "data-empty": String(alike === NOTHING) }, label,
    ...(alike !== null ? [alike] : [ofA, el("span", { class: "faint", "aria-hidden": "true" }, " → "), el("span", { class: "visually-hidden" }, " in A, in B "), ofB]));
}

function stepContent(step: ComparedStep, a: ComparedExecution, b: ComparedExecution): Node[] {
  const parts: (Node | null)[] = [
    step.under.length === 0 ? null : el("p", { class: "hint" }, "Under ", recorded(step.under.join(" › "))),
    stepTable(step, a, b),
    ...(step.differences ?? []).map(differenceView),
    moreDifferences(step),
  ];
  return parts.filter((part) => part !== null);
}

function moreDifferences({ differences = [], more_differences: more }: ComparedStep): HTMLElement | null {
  if (!more) return null;
  return el("p", { class: "hint" }, differences.length === 0 ? "Its members were not looked at: the comparison had reached its bounds." : "There are more differences than are told here.");
}

function stepTable({ a, b }: ComparedStep, ofA: ComparedExecution, ofB: ComparedExecution): HTMLElement {
  const both = <T>(shown: (side: ComparedSide, execution: ComparedExecution) => T): [T | null, T | null] =>
    [a === null ? null : shown(a, ofA), b === null ? null : shown(b, ofB)];
  const row = (label: string, shown: (side: ComparedSide, execution: ComparedExecution) => Child, difference: string | null): Row => [label, ...both(shown), difference];
  const number = (shown: (side: ComparedSide) => number | null, format: (value: number) => string) => differenceOf(...both(shown), format);
  const equal = (shown: (side: ComparedSide) => unknown) => (a === null || b === null ? null : shown(a) === shown(b) ? "none" : "differs");
  const after = ({ at }: ComparedSide, execution: ComparedExecution) => Math.max(0, at - execution.started_at);
  const rows: Row[] = [
    row("Status", ({ status }) => statusLabel(status), equal(({ status }) => status)),
    row("Start offset", (side, execution) => el("span", { title: timestamp(side.at) }, duration(after(side, execution))), differenceOf(...both(after), duration)),
    row("Duration", ({ duration_ms }) => duration(duration_ms), number(({ duration_ms }) => duration_ms, duration)),
  ];
  const either = (has: (side: ComparedSide) => boolean) => [a, b].some((side) => side !== null && has(side));
  if (either(({ model }) => model !== null)) rows.push(row("Model", ({ model }) => recorded(model ?? NOTHING), equal(({ model }) => model)));
  if (either(({ usage }) => totalTokens(usage) > 0)) rows.push(row("Tokens", ({ usage }) => tokenCount(usage), number(({ usage }) => totalTokens(usage), count)));
  if (either(({ cost_usd }) => cost_usd !== null)) rows.push(row("Cost", ({ cost_usd }) => costLabel(cost_usd), number(({ cost_usd }) => cost_usd, cost)));
  const heading = (side: "A" | "B", execution: ComparedExecution, there: boolean): Child[] =>
    [sideMark(side), there ? el("a", { href: executionPath(execution.id), class: "side-link" }, `execution ${side}`) : el("span", { class: "side-link faint" }, "not there")];
  return sidesTable("This step in both", [heading("A", ofA, a !== null), heading("B", ofB, b !== null)], rows);
}

// ---- differences ----

function differenceView({ path, change, a, b }: Difference): HTMLElement {
  const shared = a === null || b === null ? null : commonEnds(a, b);
  return el("section", { class: "difference", "data-path": path },
    el("h3", null, el("code", null, recorded(path)), el("span", { class: "change", "data-change": change }, CHANGES[change])),
    el("div", { class: "difference-sides" }, sideValue("A", valueText(a, change === "only_a"), shared), sideValue("B", valueText(b, change === "only_b"), shared)));
}

/** A member that is there with nothing in it is null. */
function valueText(value: string | null, isThere: boolean): string | null {
  return value ?? (isThere ? "null" : null);
}

function sideValue(side: "A" | "B", value: string | null, shared: { start: number; end: number } | null): HTMLElement {
  const content = value === null ? el("span", { class: "faint" }, "nothing") : el("pre", { class: "text code", dir: "auto" }, ...marked(value, shared));
  return el("div", { class: "difference-side", "data-side": side }, sideMark(side), content);
}

/** With what the other side has otherwise brought out, if the two have anything in common. */
function marked(value: string, shared: { start: number; end: number } | null): Child[] {
  if (shared === null || shared.start + shared.end === 0) return [value];
  const end = value.length - shared.end;
  return [value.slice(0, shared.start), shared.start < end ? el("mark", null, value.slice(shared.start, end)) : null, value.slice(end)];
}
