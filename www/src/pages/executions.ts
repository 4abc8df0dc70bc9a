/** The list of executions: newest first, filtered, kept fresh while it is seen. */

import { listExecutions, readProject, type Execution, type ExecutionList, type Project } from "../api.ts";
import { completenessLabel, costLabel, codeBlock, notice, recordedOrNothing, refreshTimes, statusLabel, time, tokens, whileVisible } from "../controls.ts";
import { el, on, recorded, replaceChildren } from "../dom.ts";
import { NONE_SHOWN, withFreshPage, withOlder, type Shown } from "../execution-pages.ts";
import { compactCount, count, duration, NOTHING, plural, timestamp } from "../format.ts";
import { icon } from "../icons.ts";
import { PairChoice } from "../pair-choice.ts";
import { executionPath } from "../router.ts";
import type { PageContext } from "./page.ts";

const PAGE_SIZE = 50;
const REFRESH_MS = 5_000;
const STATUSES = ["running", "waiting", "completed", "failed", "cancelled", "abandoned"];

/** How far back the list goes: what is chosen, its words, and milliseconds. */
const PERIODS: [value: string, label: string, ms: number][] = [
  ["", "Any time", Infinity],
  ["1d", "Last 24 hours", 86_400_000],
  ["7d", "Last 7 days", 7 * 86_400_000],
  ["30d", "Last 30 days", 30 * 86_400_000],
];

interface Filter {
  readonly status: string;
  readonly name: string;
  readonly text: string;
  readonly period: string;
}

/** What was shown last, so that coming back from an execution finds the place again. */
let remembered: { readonly search: string; readonly from: number; readonly shown: Shown; readonly scroll: number } | null = null;

export function forgetExecutions(): void {
  remembered = null;
}

export function showExecutions(context: PageContext): void {
  document.title = "Executions · Stepseal";
  new ExecutionsPage(context).start();
}

class ExecutionsPage {
  readonly #host: HTMLElement;
  readonly #signal: AbortSignal;
  readonly #filters = new FilterBar(filterFromUrl());
  readonly #problem = el("div", { "aria-live": "polite" });
  readonly #rows = el("tbody", { role: "rowgroup" });
  readonly #table = executionTable(this.#rows);
  readonly #nothing = el("div", { class: "list-state" }, el("p", { class: "faint" }, "Loading…"));
  readonly #older = el("button", { type: "button" }, "Older");
  readonly #foot = el("div", { class: "list-foot" });
  readonly #choice = new PairChoice();
  readonly #drawn = new Map<string, { readonly content: string; readonly row: HTMLElement }>();
  #filter = this.#filters.value();
  #from = beginningOf(this.#filter);
  #shown: Shown = NONE_SHOWN;
  /** Counts requests, so that an answer to an older question is not shown. */
  #question = 0;

  constructor({ host, signal }: PageContext) {
    this.#host = host;
    this.#signal = signal;
  }

  start(): void {
    const head = el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, "Executions"), this.#filters.form);
    replaceChildren(this.#host, head, this.#problem, this.#table, this.#nothing, this.#foot, this.#choice.form);
    this.#table.hidden = true;
    this.#filters.listen({ changed: () => this.#applyFilter(), refresh: () => void this.#freshen() });
    on(this.#rows, { click: followRow });
    on(this.#older, { click: () => void this.#showOlder() });
    whileVisible(REFRESH_MS, this.#signal, () => {
      refreshTimes(this.#rows);
      if (this.#filters.isLive) void this.#freshen();
    });
    this.#restore();
    void this.#freshen();
    // Without an answer the field stays away: the list says what is wrong.
    readProject(this.#signal).then(({ search }) => this.#filters.offerText(search), () => {});
  }

  #restore(): void {
    this.#signal.addEventListener("abort", () => {
      remembered = { search: searchOf(this.#filter), from: this.#from, shown: this.#shown, scroll: window.scrollY };
    });
    if (remembered?.search !== searchOf(this.#filter) || remembered.shown.rows.length === 0) return;
    this.#from = remembered.from;
    this.#shown = remembered.shown;
    this.#draw();
    window.scrollTo(0, remembered.scroll);
  }

  #applyFilter(): void {
    const next = this.#filters.value();
    if (searchOf(next) === searchOf(this.#filter)) return;
    this.#filter = next;
    this.#from = beginningOf(next);
    this.#shown = NONE_SHOWN;
    history.replaceState(null, "", `/${searchOf(next)}`);
    void this.#freshen();
  }

  #freshen(): Promise<void> {
    return this.#ask(undefined, (page) => withFreshPage(this.#shown, page));
  }

  async #showOlder(): Promise<void> {
    if (this.#shown.cursor === null) return;
    this.#older.disabled = true;
    await this.#ask(this.#shown.cursor, (page) => withOlder(this.#shown, page));
    this.#older.disabled = false;
  }

  async #ask(cursor: string | undefined, merge: (page: ExecutionList) => Shown): Promise<void> {
    this.#question += 1;
    const asked = this.#question;
    this.#filters.setBusy(true);
    const { status, name, text } = this.#filter;
    const question = { status, name, text, from: this.#from, limit: PAGE_SIZE, ...(cursor === undefined ? {} : { cursor }) };
    try {
      const page = await listExecutions(question, this.#signal);
      if (asked !== this.#question) return;
      this.#shown = merge(page);
      replaceChildren(this.#problem);
      this.#draw(page.window);
    } catch (error) {
      if (this.#signal.aborted || asked !== this.#question) return;
      replaceChildren(this.#problem, notice("problem", error instanceof Error ? error.message : String(error)));
      if (this.#shown.rows.length === 0) this.#drawNothing("unknown");
    } finally {
      if (asked === this.#question) this.#filters.setBusy(false);
    }
  }

  #draw(window?: ExecutionList["window"]): void {
    const { rows, cursor } = this.#shown;
    this.#drawRows();
    this.#filters.suggest(rows);
    this.#table.hidden = rows.length === 0;
    this.#drawNothing(rows.length > 0 ? "some" : searchOf(this.#filter) === "" ? "first run" : "no match");
    replaceChildren(
      this.#foot,
      rows.length === 0 ? null : el("span", { class: "faint" }, `${plural(rows.length, "execution")} shown${windowLabel(window)}`),
      cursor === null ? null : this.#older,
    );
  }

  /** Touches only rows that changed, so that a refresh disturbs neither focus nor a selection. */
  #drawRows(): void {
    const rows = this.#shown.rows.map((execution) => {
      const content = JSON.stringify(execution);
      const drawn = this.#drawn.get(execution.id);
      if (drawn?.content === content) return drawn.row;
      const row = executionRow(execution, this.#choice.box(execution));
      this.#drawn.set(execution.id, { content, row });
      return row;
    });
    const { children } = this.#rows;
    if (rows.length === children.length && rows.every((row, index) => row === children[index])) return;
    const focused = document.activeElement?.closest("tr")?.getAttribute("data-execution");
    const part = document.activeElement?.matches("input") ? "input" : "a";
    this.#rows.replaceChildren(...rows);
    rows.find((row) => row.dataset["execution"] === focused)?.querySelector<HTMLElement>(part)?.focus({ preventScroll: true });
  }

  /** Drawn once, not at each refresh: someone may be selecting the snippet. */
  #drawNothing(reason: "some" | "first run" | "no match" | "unknown"): void {
    if (this.#nothing.dataset["reason"] === reason) return;
    this.#nothing.dataset["reason"] = reason;
    replaceChildren(this.#nothing, reason === "first run" ? firstRun() : reason === "no match" ? this.#noMatch() : null);
  }

  #noMatch(): HTMLElement {
    const clear = on(el("button", { type: "button" }, "Clear filters"), {
      click: () => {
        this.#filters.clear();
        this.#applyFilter();
      },
    });
    return el("div", { class: "empty" }, el("p", null, "No execution matches these filters."), clear);
  }
}

// ---- filters ----

class FilterBar {
  readonly form: HTMLFormElement;
  readonly #status: HTMLSelectElement;
  readonly #name: HTMLInputElement;
  readonly #text: HTMLInputElement;
  readonly #period: HTMLSelectElement;
  readonly #knownNames = el("datalist", { id: "known-names" });
  readonly #known = new Set<string>();
  readonly #refresh = el("button", { type: "button", title: "Refresh", "aria-label": "Refresh", class: "icon-button framed" }, icon("refresh"));
  readonly #live = el("input", { type: "checkbox", id: "live", checked: true });

  constructor({ status, name, text, period }: Filter) {
    this.#status = el("select", { id: "filter-status", "aria-label": "Status" }, el("option", { value: "" }, "Any status"),
      ...STATUSES.map((value) => el("option", { value, selected: value === status }, value)));
    this.#name = el("input", {
      id: "filter-name", type: "search", placeholder: "Exact name", "aria-label": "Exact name", list: "known-names",
      value: name, autocomplete: "off", spellcheck: "false",
    });
    this.#text = el("input", { id: "filter-text", type: "search", "aria-label": "Words", value: text, autocomplete: "off" });
    // Until the project says that it is searched; what a link asks for stays visible.
    this.#text.hidden = text === "";
    this.#period = el("select", { id: "filter-period", "aria-label": "Started" },
      ...PERIODS.map(([value, label]) => el("option", { value, selected: value === period }, label)));
    const live = el("label", { class: "check", title: "Refresh by itself while this tab is seen" }, this.#live, "Live");
    this.form = el("form", { class: "filters", role: "search" }, this.#status, this.#name, this.#knownNames, this.#text, this.#period, this.#refresh, live);
  }

  get isLive(): boolean {
    return this.#live.checked;
  }

  value(): Filter {
    return { status: this.#status.value, name: this.#name.value.trim(), text: this.#text.value.trim(), period: this.#period.value };
  }

  clear(): void {
    this.#status.value = "";
    this.#name.value = "";
    this.#text.value = "";
    this.#period.value = "";
  }

  offerText(search: Project["search"]): void {
    if (search === "off") return;
    this.#text.hidden = false;
    this.#text.placeholder = search === "plain" ? "Words, begin* too" : "Whole words";
  }

  setBusy(busy: boolean): void {
    this.#refresh.classList.toggle("busy", busy);
  }

  listen({ changed, refresh }: { changed: () => void; refresh: () => void }): void {
    on(this.form, {
      submit: (event) => {
        event.preventDefault();
        changed();
      },
      change: changed,
    });
    on(this.#name, {
      // A name that is chosen from the known ones, or cleared, needs no Enter.
      input: () => {
        if (this.#name.value === "" || this.#known.has(this.#name.value)) changed();
      },
    });
    on(this.#refresh, { click: refresh });
  }

  /** Offers the names of what is shown: the API filters by the exact name. */
  suggest(executions: readonly Execution[]): void {
    for (const { name } of executions) {
      if (name === null || this.#known.has(name)) continue;
      this.#known.add(name);
      this.#knownNames.append(el("option", { value: name }));
    }
  }
}

// ---- the table ----

function executionTable(rows: HTMLElement): HTMLElement {
  const titles = COLUMNS.map(([title, kind]) =>
    el("th", { scope: "col", role: "columnheader", class: kind }, kind === "cell-choose" ? el("span", { class: "visually-hidden" }, title) : title));
  return el("table", { class: "executions", role: "table", "aria-label": "Executions, newest first" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...titles)), rows);
}

/** What lies over a row's link, to show more on hover, still leads where the row leads. */
function followRow(event: MouseEvent): void {
  const target = event.target as Element;
  if (target.closest("a, .cell-choose") === null) target.closest("tr")?.querySelector("a")?.click();
}

const COLUMNS: [title: string, kind: string][] = [
  ["Compare", "cell-choose"], ["Status", ""], ["Name", ""], ["Agent", "cell-agent"], ["Started", ""], ["Duration", "numeric"],
  ["Steps", "numeric"], ["Tokens", "numeric"], ["Cost", "numeric"], ["Record", ""],
];

function executionRow(execution: Execution, box: HTMLElement): HTMLElement {
  const cell = (label: string, kind: string, ...children: Parameters<typeof el>[2][]) =>
    el("td", { role: "cell", class: kind, "data-label": label }, ...children);
  const errors = execution.error_steps;
  return el(
    "tr",
    { role: "row", "data-execution": execution.id },
    cell("Compare", "cell-choose", box),
    cell("Status", "cell-status", statusLabel(execution.status)),
    cell("Name", "cell-name", el("a", { href: executionPath(execution.id) }, recorded(execution.name ?? execution.id))),
    cell("Agent", "cell-agent", recordedOrNothing(execution.agent)),
    cell("Started", "cell-started", time(execution.started_at)),
    cell("Duration", "numeric", execution.duration_ms === null ? el("span", { class: "faint" }, NOTHING) : duration(execution.duration_ms)),
    cell("Steps", "numeric", errors === 0 ? null : el("span", { class: "error-count", title: plural(errors, "failed step") }, `${count(errors)} ✕`), compactCount(execution.steps)),
    cell("Tokens", "numeric", tokens(execution.usage)),
    cell("Cost", "numeric", costLabel(execution.cost_usd)),
    cell("Record", "cell-record", completenessLabel(execution.completeness)),
  );
}

function firstRun(): HTMLElement {
  const snippet = el("div", { class: "snippet" }, codeBlock(firstRunCode("stepseal_pub_…")));
  readProject().then(
    (project) => replaceChildren(snippet, codeBlock(firstRunCode(project.publishable_key))),
    // The snippet stands as it is, with a key to fill in.
    () => {},
  );
  return el(
    "div",
    { class: "empty first-run" },
    el("h2", null, "Nothing is recorded yet"),
    el(
      "p",
      null,
      "Drop a file of agent transcripts on the ", el("a", { href: "/playground" }, "playground"),
      " and watch it being recorded, or record your first run from a page whose origin is among the project's:",
    ),
    snippet,
  );
}

function firstRunCode(publishableKey: string): string {
  return `import { Recorder } from "stepseal";

const recorder = await Recorder.start({
  endpoint: "${location.origin}",
  session: { publishableKey: "${publishableKey}" },
});

const run = recorder.startExecution({ name: "book a flight", agent: "travel" });
await run.step({ kind: "tool", name: "search", input: { to: "SEA" } }, async () => {
  return { flights: 3 };
});
run.complete();
await recorder.flush();`;
}

function windowLabel(window?: ExecutionList["window"]): string {
  if (window === undefined || !window.from) return "";
  return `, started since ${timestamp(window.from).slice(0, 16)}`;
}

function filterFromUrl(): Filter {
  const search = new URLSearchParams(location.search);
  const status = search.get("status") ?? "";
  const period = search.get("period") ?? "";
  return {
    status: STATUSES.includes(status) ? status : "",
    name: search.get("name") ?? "",
    text: search.get("text") ?? "",
    period: PERIODS.some(([value]) => value === period) ? period : "",
  };
}

/** From when on, Unix ms. It is fixed once it is chosen: a cursor continues one window. */
function beginningOf({ period }: Filter): number {
  const ms = PERIODS.find(([value]) => value === period)?.[2] ?? Infinity;
  return ms === Infinity ? 0 : Date.now() - ms;
}

function searchOf(filter: Filter): string {
  const search = new URLSearchParams();
  if (filter.status !== "") search.set("status", filter.status);
  if (filter.name !== "") search.set("name", filter.name);
  if (filter.text !== "") search.set("text", filter.text);
  if (filter.period !== "") search.set("period", filter.period);
  return search.size === 0 ? "" : `?${search}`;
}
