/** One execution: what is known of it, whether it is untouched, and its steps on a time line. */

import { listSteps, MAX_PAGE, Problem, readExecution, type ExecutionDetail, type Score, type Step } from "../api.ts";
import { compareParts, type CompareParts } from "../compare-choice.ts";
import { completenessLabel, copyButton, costLabel, notice, statusLabel, time, totalTokens, usageParts, whileVisible } from "../controls.ts";
import { el, on, recorded, replaceChildren, type Child } from "../dom.ts";
import { count, duration, plural, timestamp } from "../format.ts";
import { layOutSteps, settledSteps, spanOf, stepKey } from "../step-tree.ts";
import { factList, moveBetweenSteps, stepView, type StepView } from "../step-view.ts";
import { errorView, valueSection } from "../value-view.ts";
import { verificationParts, type VerificationParts } from "../verification-view.ts";
import type { PageContext } from "./page.ts";

const REFRESH_MS = 4_000;

interface LoadedSteps {
  readonly steps: readonly Step[];
  readonly cursor: string | null;
}

export function showExecution(context: PageContext, id: string): void {
  document.title = "Execution · Stepseal";
  new ExecutionPage(context, id).start();
}

class ExecutionPage {
  readonly #host: HTMLElement;
  readonly #signal: AbortSignal;
  readonly #id: string;
  readonly #verification: VerificationParts;
  readonly #compare: CompareParts;
  readonly #head = el("div", null, el("p", { class: "faint" }, "Loading…"));
  readonly #problem = el("div", { "aria-live": "polite" });
  readonly #contents = el("div", { class: "execution-contents" });
  readonly #steps = el("section", { class: "steps", "aria-label": "Steps" });
  /** Keys of the steps that are open, kept over refreshes. */
  readonly #open = new Set<string>();
  #views: StepView[] = [];
  #loaded: LoadedSteps = { steps: [], cursor: null };
  #execution: ExecutionDetail | null = null;

  constructor({ host, signal }: PageContext, id: string) {
    this.#host = host;
    this.#signal = signal;
    this.#id = id;
    this.#verification = verificationParts(id, signal);
    this.#compare = compareParts(id, signal);
  }

  start(): void {
    replaceChildren(this.#host, this.#head, this.#problem, this.#compare.panel, this.#verification.result, this.#contents, this.#steps);
    this.#steps.hidden = true;
    void this.#load();
    whileVisible(REFRESH_MS, this.#signal, () => {
      if (this.#execution === null || isOpen(this.#execution)) void this.#load();
    });
  }

  async #load(): Promise<void> {
    try {
      const fresh = await readExecution(this.#id, this.#signal);
      const before = this.#execution;
      if (before !== null && fresh.updated_at === before.updated_at && fresh.events === before.events) return;
      this.#loaded = await readSteps(this.#id, this.#loaded.steps.length, this.#signal);
      this.#execution = fresh;
      this.#draw(fresh);
      if (before === null) this.#head.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
    } catch (error) {
      this.#fail(error);
    }
  }

  async #loadMore(button: HTMLButtonElement): Promise<void> {
    if (this.#loaded.cursor === null || this.#execution === null) return;
    button.disabled = true;
    try {
      const page = await listSteps(this.#id, { limit: MAX_PAGE, cursor: this.#loaded.cursor }, this.#signal);
      this.#loaded = { steps: [...this.#loaded.steps, ...page.steps], cursor: page.next_cursor };
      this.#drawSteps(this.#execution);
      this.#steps.querySelector<HTMLElement>(".load-more")?.focus();
    } catch (error) {
      button.disabled = false;
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#signal.aborted) return;
    if (error instanceof Problem && error.status === 404) {
      replaceChildren(this.#host, notFound(this.#id));
      return;
    }
    if (this.#execution === null) replaceChildren(this.#head);
    replaceChildren(this.#problem, notice("problem", error instanceof Error ? error.message : String(error)));
  }

  #draw(execution: ExecutionDetail): void {
    document.title = `${execution.name ?? execution.id} · Stepseal`;
    replaceChildren(this.#problem);
    this.#verification.reset();
    this.#compare.named(execution.name);
    replaceChildren(this.#head, header(execution, [this.#compare.button, this.#verification.button]));
    replaceChildren(this.#contents, ...executionContents(execution));
    this.#drawSteps(execution);
  }

  #drawSteps(execution: ExecutionDetail): void {
    const { cursor } = this.#loaded;
    const steps = settledSteps(this.#loaded.steps, cursor === null && !isOpen(execution));
    const span = spanOf(steps, execution.started_at, execution.ended_at);
    this.#views = layOutSteps(steps).map((row) =>
      stepView(row, span, this.#open.has(row.key), (open) => (open ? this.#open.add(row.key) : this.#open.delete(row.key))),
    );
    const list = el("ol", { class: "step-list" }, ...this.#views.map((view) => view.item));
    on(list, { keydown: (event) => moveBetweenSteps(this.#views, event) });
    const none = this.#views.length === 0;
    this.#steps.hidden = false;
    replaceChildren(
      this.#steps,
      this.#stepsHead(execution),
      none ? el("p", { class: "empty faint" }, "No step is stored.") : axis(span.end - span.start),
      none ? null : list,
      cursor === null ? null : this.#moreButton(),
    );
  }

  #stepsHead(execution: ExecutionDetail): HTMLElement {
    const { steps, cursor } = this.#loaded;
    const total = Math.max(execution.steps, steps.length);
    const shown = cursor === null ? count(total) : `${count(steps.length)} of ${count(total)}`;
    const all = (label: string, open: boolean) =>
      on(el("button", { type: "button", class: "link" }, label), { click: () => this.#views.forEach((view) => view.toggle(open)) });
    return el(
      "div",
      { class: "section-head" },
      el("h2", null, "Steps ", el("span", { class: "faint" }, shown)),
      steps.length === 0 ? null : el("div", { class: "actions" }, all("Open all", true), all("Close all", false)),
    );
  }

  #moreButton(): HTMLElement {
    const button = el("button", { type: "button", class: "load-more" }, "Load more steps");
    return el("div", { class: "list-foot" }, on(button, { click: () => void this.#loadMore(button) }));
  }
}

function isOpen(execution: ExecutionDetail): boolean {
  return execution.status === "running" || execution.status === "waiting";
}

/** The first page, or as many as were shown before. */
async function readSteps(id: string, atLeast: number, signal: AbortSignal): Promise<LoadedSteps> {
  const steps = new Map<string, Step>();
  let cursor: string | null = null;
  do {
    const page = await listSteps(id, cursor === null ? { limit: MAX_PAGE } : { limit: MAX_PAGE, cursor }, signal);
    for (const step of page.steps) steps.set(stepKey(step), step);
    cursor = page.next_cursor;
  } while (cursor !== null && steps.size < atLeast);
  return { steps: [...steps.values()], cursor };
}

function header(execution: ExecutionDetail, actions: readonly HTMLElement[]): HTMLElement {
  return el(
    "header",
    { class: "execution-head" },
    el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, el("a", { href: "/" }, "Executions"), " / "),
    el(
      "div",
      { class: "title-row" },
      el("h1", { tabindex: "-1" }, recorded(execution.name ?? execution.id)),
      statusLabel(execution.status),
      el("span", { class: "spacer" }),
      ...actions,
    ),
    factList(leadingFacts(execution), "leading"),
    factList(remainingFacts(execution), "remaining"),
  );
}

function leadingFacts(execution: ExecutionDetail): [string, Child][] {
  const usage = usageParts(execution.usage);
  return [
    ["Started", time(execution.started_at)],
    ["Duration", duration(execution.duration_ms)],
    ["Steps", execution.error_steps === 0
      ? count(execution.steps)
      : el("span", null, `${count(execution.steps)}, `, el("span", { class: "error-count" }, `${count(execution.error_steps)} failed`))],
    ["Tokens", usage.length === 0 ? el("span", { class: "faint" }, "–")
      : el("span", null, count(totalTokens(execution.usage)), el("small", null, usage.map(([label, value]) => `${count(value)} ${label}`).join(" · ")))],
    ["Cost", el("span", null, costLabel(execution.cost_usd), derivedCost(execution))],
    ["Record", completenessLabel(execution.completeness)],
  ];
}

function derivedCost({ derived_cost_usd: derived, price_versions: versions }: ExecutionDetail): HTMLElement | null {
  if (!derived || !versions) return null;
  const by = versions.first === versions.last ? `version ${versions.first}` : `versions ${versions.first} to ${versions.last}`;
  return el("small", null, costLabel(derived), ` by the project's prices, ${by}`);
}

const PROVENANCE = {
  backend: "The session was minted by the project's backend.",
  origin: "The session was minted for a page of an allowed origin.",
  server: "Sent by a holder of the project secret.",
} as const;

function remainingFacts(execution: ExecutionDetail): [string, Child][] {
  const facts: [string, Child][] = [];
  const add = (term: string, value: string | null) => {
    if (value !== null && value !== "") facts.push([term, recorded(value)]);
  };
  const addList = (term: string, values: readonly string[]) => {
    if (values.length > 0) facts.push([term, el("span", { class: "chips" }, ...values.map((value) => el("span", { class: "chip" }, recorded(value))))]);
  };
  add("Agent", execution.agent);
  add("Pipeline", execution.pipeline);
  add("User", execution.user);
  add("Session", execution.session);
  add("Environment", execution.environment);
  add("Release", execution.release);
  facts.push(["Execution id", idWithCopy(execution.id)]);
  if (execution.subject !== null) facts.push(["Subject", idWithCopy(execution.subject)]);
  facts.push(["Provenance", el("span", { title: PROVENANCE[execution.provenance] }, recorded(String(execution.provenance)))]);
  facts.push(["Ended", execution.ended_at === null ? "not yet" : timestamp(execution.ended_at)]);
  facts.push(["Received", timestamp(execution.received_at)]);
  const batches = execution.writers.reduce((total, writer) => total + writer.batches, 0);
  facts.push(["Stored", `${plural(execution.events, "event")} in ${plural(batches, "batch", "batches")}`
    + (execution.writers.length > 1 ? ` by ${plural(execution.writers.length, "writer")}` : "")]);
  addList("Models", execution.models);
  addList("Tools", execution.tools);
  addList("Tags", execution.tags);
  const scores = (execution.scores ?? []).map(scoreChip);
  if (scores.length > 0) facts.push(["Scores", el("span", { class: "chips" }, ...scores, execution.more_scores ? el("span", { class: "faint" }, "the newest of more") : null)]);
  return facts;
}

function scoreChip({ name, value, comment, source }: Score): HTMLElement {
  const title = [source, comment].filter((part) => part !== null && part !== "").join(": ");
  return el("span", { class: "chip", title: title === "" ? undefined : title }, recorded(`${name ?? "?"} ${String(value)}`));
}

function idWithCopy(id: string): HTMLElement {
  return el("span", { class: "id" }, el("code", null, id), copyButton(id, "Copy id"));
}

function executionContents(execution: ExecutionDetail): Child[] {
  const error = execution.error === undefined || execution.error === null ? null
    : el("section", { class: "value" }, el("h4", null, "Error"), errorView(execution.error));
  const rest = [
    valueSection("Input", execution.input),
    valueSection("Output", execution.output),
    isEmptyObject(execution.metadata) ? null : valueSection("Metadata", execution.metadata),
  ].filter((section) => section !== null);
  return [error, rest.length === 0 ? null : el("div", { class: "value-columns" }, ...rest)];
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function axis(total: number): HTMLElement {
  const label = (ms: number) => (total < 10 ? `${ms.toFixed(1)} ms` : duration(ms));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((fraction) => el("span", null, fraction === 0 ? "0" : label(total * fraction)));
  return el("div", { class: "axis", "aria-hidden": "true" }, el("span"), el("span", { class: "numeric" }, "Tokens"), el("span", { class: "numeric" }, "Duration"), el("span", { class: "ticks" }, ...ticks));
}

function notFound(id: string): HTMLElement {
  return el(
    "div",
    { class: "empty" },
    el("h1", { tabindex: "-1" }, "No such execution"),
    el("p", null, "This project holds no execution ", el("code", null, id), ". It may not have arrived yet, or it was deleted."),
    el("p", null, el("a", { href: "/" }, "All executions")),
  );
}
