/** One execution: what is known of it, whether it is untouched, and its steps on a time line. */

import { listSteps, MAX_PAGE, Problem, readExecution, type ExecutionDetail, type Step } from "../api.ts";
import { completenessLabel, copyButton, costLabel, notice, statusLabel, time, totalTokens, usageParts, whileVisible } from "../controls.ts";
import { el, on, recorded, replaceChildren, type Child } from "../dom.ts";
import { count, duration, plural, timestamp } from "../format.ts";
import { layOutSteps, spanOf, stepKey } from "../step-tree.ts";
import { factList, stepView, type StepView } from "../step-view.ts";
import { errorView, valueSection } from "../value-view.ts";
import { verificationParts } from "../verification-view.ts";
import type { PageContext } from "./page.ts";

const REFRESH_MS = 4_000;

interface LoadedSteps {
  readonly steps: readonly Step[];
  readonly cursor: string | null;
}

export function showExecution({ host, signal }: PageContext, id: string): void {
  document.title = "Execution · Stepseal";
  const head = el("div");
  const verification = verificationParts(id, signal);
  const problem = el("div", { "aria-live": "polite" });
  const contents = el("div", { class: "execution-contents" });
  const stepsPart = el("section", { class: "steps", "aria-label": "Steps" });
  const open = new Set<string>();
  let views: StepView[] = [];
  let loaded: LoadedSteps = { steps: [], cursor: null };
  let execution: ExecutionDetail | null = null;

  replaceChildren(host, head, problem, verification.result, contents, stepsPart);
  replaceChildren(head, el("p", { class: "faint" }, "Loading…"));
  void load();
  whileVisible(REFRESH_MS, signal, () => {
    if (execution === null || execution.status === "running" || execution.status === "waiting") void load();
  });

  async function load(): Promise<void> {
    try {
      const fresh = await readExecution(id, signal);
      const isFirst = execution === null;
      const changed = isFirst || fresh.updated_at !== execution!.updated_at || fresh.events !== execution!.events;
      execution = fresh;
      if (!changed) return;
      loaded = await readSteps(id, loaded.steps.length, signal);
      document.title = `${fresh.name ?? fresh.id} · Stepseal`;
      replaceChildren(problem);
      verification.reset();
      replaceChildren(head, header(fresh, verification.button));
      if (isFirst) head.querySelector<HTMLElement>("h1")?.focus();
      replaceChildren(contents, ...executionContents(fresh));
      renderSteps();
    } catch (error) {
      fail(error);
    }
  }

  async function loadMore(button: HTMLButtonElement): Promise<void> {
    if (loaded.cursor === null) return;
    button.disabled = true;
    try {
      const page = await listSteps(id, { limit: MAX_PAGE, cursor: loaded.cursor }, signal);
      loaded = { steps: [...loaded.steps, ...page.steps], cursor: page.next_cursor };
      renderSteps();
      stepsPart.querySelector<HTMLElement>(".load-more")?.focus();
    } catch (error) {
      button.disabled = false;
      fail(error);
    }
  }

  function fail(error: unknown): void {
    if (signal.aborted) return;
    if (error instanceof Problem && error.status === 404) {
      replaceChildren(host, notFound(id));
      return;
    }
    if (execution === null) replaceChildren(head);
    replaceChildren(problem, notice("problem", error instanceof Error ? error.message : String(error)));
  }

  function renderSteps(): void {
    const span = spanOf(loaded.steps, execution!.started_at, execution!.ended_at);
    views = layOutSteps(loaded.steps).map((row) =>
      stepView(row, span, open.has(row.key), (isOpen) => (isOpen ? open.add(row.key) : open.delete(row.key))),
    );
    const list = el("ol", { class: "step-list" }, ...views.map((view) => view.item));
    on(list, { keydown: moveBetweenSteps });
    replaceChildren(
      stepsPart,
      stepsHead(),
      views.length === 0 ? el("p", { class: "empty faint" }, "No step is stored.") : list,
      loaded.cursor === null ? null : moreButton(),
    );
    if (views.length > 0) list.before(axis(span.end - span.start));
  }

  function stepsHead(): HTMLElement {
    const toggleAll = (isOpen: boolean) => () => views.forEach((view) => view.toggle(isOpen));
    const total = Math.max(execution!.steps, loaded.steps.length);
    const shown = loaded.cursor === null ? count(total) : `${count(loaded.steps.length)} of ${count(total)}`;
    return el(
      "div",
      { class: "section-head" },
      el("h2", null, "Steps ", el("span", { class: "faint" }, shown)),
      views.length === 0 ? null : el(
        "div",
        { class: "actions" },
        on(el("button", { type: "button", class: "link" }, "Open all"), { click: toggleAll(true) }),
        on(el("button", { type: "button", class: "link" }, "Close all"), { click: toggleAll(false) }),
      ),
    );
  }

  function moreButton(): HTMLElement {
    const button = el("button", { type: "button", class: "load-more" }, "Load more steps");
    return el("div", { class: "list-foot" }, on(button, { click: () => void loadMore(button) }));
  }

  /** Up and down walk the lines, left and right close and open, as in any tree. */
  function moveBetweenSteps(event: KeyboardEvent): void {
    const at = views.findIndex((view) => view.line === event.target);
    if (at < 0) return;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: views.length - 1 }[event.key];
    if (to !== undefined) views[to]?.line.focus();
    else if (event.key === "ArrowRight") views[at]!.toggle(true);
    else if (event.key === "ArrowLeft") views[at]!.toggle(false);
    else return;
    event.preventDefault();
  }
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

function header(execution: ExecutionDetail, verifyButton: HTMLElement): HTMLElement {
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
      verifyButton,
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
    ["Cost", costLabel(execution.cost_usd)],
    ["Record", completenessLabel(execution.completeness)],
  ];
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
  return facts;
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
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((fraction) => el("span", null, fraction === 0 ? "0" : duration(total * fraction)));
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
