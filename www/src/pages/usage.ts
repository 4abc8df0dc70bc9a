/** A project's month against its budget, and what became of its requests, for admins. */

import { changeBudget, readUsage, type Fates, type Standing, type Usage } from "../administration.ts";
import { notice } from "../controls.ts";
import { el, on, replaceChildren } from "../dom.ts";
import { bytes, cost, count, NOTHING } from "../format.ts";

const STANDINGS: Readonly<Record<Standing, string>> = {
  within: "",
  warned: "The month's use has passed the budget's warning.",
  exhausted: "The budget is used up: batches are refused, and wait in their pages.",
};

type Attempt = (act: () => Promise<void>) => Promise<void>;

export function showUsage(host: HTMLElement, attempt: Attempt, signal: AbortSignal): void {
  void attempt(async () => draw(host, await readUsage(signal), attempt, signal));
}

function draw(host: HTMLElement, usage: Usage, attempt: Attempt, signal: AbortSignal): void {
  const warning = STANDINGS[usage.standing];
  replaceChildren(host,
    el("h2", null, "Usage"),
    warning === "" ? null : notice("problem", warning),
    monthTable(usage),
    budgetForm(usage, attempt, async () => draw(host, await readUsage(signal), attempt, signal)),
    el("h3", null, "Outcomes"),
    el("p", { class: "hint" }, ledgerLine("Batches", usage.ledger.batches), " ", ledgerLine("Events", usage.ledger.events)),
    outcomeTable(usage));
}

function monthTable({ month, used, budget }: Usage): HTMLElement {
  const rows: readonly (readonly [string, string, string])[] = [
    ["Events", count(used.steps), budget.steps === null ? NOTHING : count(budget.steps)],
    ["Bytes", bytes(used.bytes), budget.bytes === null ? NOTHING : bytes(budget.bytes)],
    ["Cost", cost(used.cost_usd), budget.cost_usd === null ? NOTHING : `$${budget.cost_usd}`],
  ];
  return el("table", { class: "plain usage" },
    el("thead", null, el("tr", null, ...[month, "Used", "Budget"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", null, ...rows.map(([what, spent, limit]) => el("tr", null, el("td", null, what), el("td", null, spent), el("td", null, limit)))));
}

function budgetForm({ budget }: Usage, attempt: Attempt, redraw: () => Promise<void>): HTMLElement {
  const input = (id: string, label: string, value: number | null, step: string) => ({
    label: el("label", { for: id }, label),
    control: el("input", { id, type: "number", min: "0", step, value: value === null ? "" : String(value), placeholder: "no limit" }),
  });
  const steps = input("budget-steps", "Events a month", budget.steps, "1");
  const size = input("budget-bytes", "Bytes a month", budget.bytes, "1");
  const dollars = input("budget-cost", "US dollars a month", budget.cost_usd, "0.01");
  const limit = (control: HTMLInputElement) => (control.value === "" ? null : Number(control.value));
  const form = el("form", { class: "fields" },
    ...[steps, size, dollars].map(({ label, control }) => el("div", { class: "field" }, label, control)),
    el("div", { class: "actions-row" }, el("button", { type: "submit" }, "Set budget")));
  return on(form, {
    submit: (event) => {
      event.preventDefault();
      void attempt(async () => {
        const wanted = { steps: limit(steps.control), bytes: limit(size.control), cost_usd: limit(dollars.control) };
        await changeBudget({ ...wanted, warn_at_percent: budget.warn_at_percent });
        await redraw();
      });
    },
  });
}

const ledgerLine = (what: string, fates: Fates) =>
  `${what} of the last 30 days: ${count(fates.received)} received = ${count(fates.stored)} stored + ${count(fates.duplicate)} sent again + ${count(fates.rejected)} rejected.`;

function outcomeTable({ days }: Usage): HTMLElement {
  const headings = ["Day", "Operation", "Outcome", "Requests", "Events"].map((title) => el("th", { scope: "col" }, title));
  const rows = days.flatMap(({ day, outcomes }) => outcomes.map(({ operation, outcome, requests, events }) =>
    el("tr", { "data-outcome": outcome }, ...[day, operation, outcome, count(requests), count(events)].map((text) => el("td", null, text)))));
  return el("div", { class: "scroll-x" }, el("table", { class: "plain outcomes" }, el("thead", null, el("tr", null, ...headings)), el("tbody", null, ...rows)));
}
