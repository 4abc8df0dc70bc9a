/** The list of executions: newest first, filtered, kept fresh while it is seen. */

import { listExecutions, readProject, type Execution, type ExecutionList } from "../api.ts";
import { completenessLabel, costLabel, codeBlock, notice, recordedOrNothing, refreshTimes, statusLabel, time, tokens, whileVisible } from "../controls.ts";
import { el, on, recorded, replaceChildren } from "../dom.ts";
import { NONE_SHOWN, withFreshPage, withOlder, type Shown } from "../execution-pages.ts";
import { compactCount, count, duration, NOTHING, plural, timestamp } from "../format.ts";
import { icon } from "../icons.ts";
import { executionPath } from "../router.ts";
import type { PageContext } from "./page.ts";

const PAGE_SIZE = 50;
const REFRESH_MS = 5_000;
/** Typing is one search, not one per letter. */
const TYPING_PAUSE_MS = 250;
const STATUSES = ["running", "waiting", "completed", "failed", "cancelled", "abandoned"];

interface Filter {
  readonly status: string;
  readonly name: string;
}

/** What was shown last, so that coming back from an execution finds the place again. */
let remembered: { readonly search: string; readonly shown: Shown; readonly scroll: number } | null = null;

export function forgetExecutions(): void {
  remembered = null;
}

export function showExecutions({ host, signal }: PageContext): void {
  document.title = "Executions · Stepseal";
  let filter = filterFromUrl();
  let shown: Shown = NONE_SHOWN;
  let live = true;
  /** Counts requests, so that an answer to an older question is not shown. */
  let question = 0;
  const drawnRows = new Map<string, { readonly content: string; readonly row: HTMLElement }>();

  const status = el(
    "select",
    { id: "filter-status", "aria-label": "Status" },
    el("option", { value: "" }, "Any status"),
    ...STATUSES.map((value) => el("option", { value, selected: value === filter.status }, value)),
  );
  const name = el("input", {
    id: "filter-name", type: "search", placeholder: "Filter by name", "aria-label": "Name",
    value: filter.name, autocomplete: "off", spellcheck: "false",
  });
  const refresh = el("button", { type: "button", title: "Refresh", "aria-label": "Refresh", class: "icon-button framed" }, icon("refresh"));
  const liveBox = el("input", { type: "checkbox", id: "live", checked: true });
  const problem = el("div", { "aria-live": "polite" });
  const body = el("tbody", { role: "rowgroup" });
  const table = el(
    "table",
    { class: "executions", role: "table", "aria-label": "Executions, newest first" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...COLUMNS.map(([title, kind]) =>
      el("th", { scope: "col", role: "columnheader", class: kind }, title)))),
    body,
  );
  const state = el("div", { class: "list-state" });
  const older = el("button", { type: "button" }, "Older");
  const foot = el("div", { class: "list-foot" });

  replaceChildren(
    host,
    el(
      "div",
      { class: "page-head" },
      el("h1", { tabindex: "-1" }, "Executions"),
      el(
        "form",
        { class: "filters", role: "search" },
        status, name, refresh,
        el("label", { class: "check", title: "Refresh by itself while this tab is seen" }, liveBox, "Live"),
      ),
    ),
    problem,
    table,
    state,
    foot,
  );

  on(host.querySelector("form")!, { submit: (event) => event.preventDefault() });
  on(status, { change: applyFilter });
  let typing: ReturnType<typeof setTimeout> | undefined;
  on(name, {
    input: () => {
      clearTimeout(typing);
      typing = setTimeout(applyFilter, TYPING_PAUSE_MS);
    },
  });
  on(refresh, { click: () => void freshen() });
  // What lies over the row's link to show more on hover still leads where the row leads.
  on(body, {
    click: (event) => {
      const target = event.target as Element;
      if (target.closest("a") === null) target.closest("tr")?.querySelector("a")?.click();
    },
  });
  on(liveBox, { change: () => (live = liveBox.checked) });
  on(older, { click: () => void showOlder() });
  whileVisible(REFRESH_MS, signal, () => {
    refreshTimes(body);
    if (live) void freshen();
  });
  signal.addEventListener("abort", () => {
    clearTimeout(typing);
    remembered = { search: searchOf(filter), shown, scroll: window.scrollY };
  });

  if (remembered?.search === searchOf(filter) && remembered.shown.rows.length > 0) {
    shown = remembered.shown;
    render();
    window.scrollTo(0, remembered.scroll);
  } else {
    replaceChildren(state, el("p", { class: "faint" }, "Loading…"));
  }
  void freshen();

  function applyFilter(): void {
    const next = { status: status.value, name: name.value.trim() };
    if (searchOf(next) === searchOf(filter)) return;
    filter = next;
    shown = NONE_SHOWN;
    history.replaceState(null, "", `/${searchOf(filter)}`);
    void freshen();
  }

  function freshen(): Promise<void> {
    return ask({ ...filter, limit: PAGE_SIZE }, (page) => withFreshPage(shown, page));
  }

  async function showOlder(): Promise<void> {
    if (shown.cursor === null) return;
    older.disabled = true;
    await ask({ ...filter, limit: PAGE_SIZE, cursor: shown.cursor }, (page) => withOlder(shown, page));
    older.disabled = false;
  }

  async function ask(query: Parameters<typeof listExecutions>[0], merge: (page: ExecutionList) => Shown): Promise<void> {
    question += 1;
    const asked = question;
    refresh.classList.add("busy");
    try {
      const page = await listExecutions(query, signal);
      if (asked !== question) return;
      shown = merge(page);
      replaceChildren(problem);
      render(page.window);
    } catch (error) {
      if (signal.aborted || asked !== question) return;
      replaceChildren(problem, notice("problem", error instanceof Error ? error.message : String(error)));
      if (shown.rows.length === 0) {
        delete state.dataset["nothing"];
        replaceChildren(state);
      }
    } finally {
      if (asked === question) refresh.classList.remove("busy");
    }
  }

  function render(window?: ExecutionList["window"]): void {
    renderRows();
    table.hidden = shown.rows.length === 0;
    const filtered = filter.status !== "" || filter.name !== "";
    const nothing = shown.rows.length > 0 ? "" : filtered ? "no match" : "first run";
    // Drawn once, not at each refresh: someone may be selecting the snippet.
    if (state.dataset["nothing"] !== nothing) {
      state.dataset["nothing"] = nothing;
      replaceChildren(state, nothing === "" ? null : filtered ? noMatch() : firstRun());
    }
    replaceChildren(
      foot,
      shown.rows.length === 0 ? null : el("span", { class: "faint" }, `${plural(shown.rows.length, "execution")} shown${windowLabel(window)}`),
      shown.cursor === null ? null : older,
    );
  }

  /** Touches only rows that changed, so that a refresh disturbs neither focus nor a selection. */
  function renderRows(): void {
    const rows = shown.rows.map((execution) => {
      const content = JSON.stringify(execution);
      const drawn = drawnRows.get(execution.id);
      if (drawn?.content === content) return drawn.row;
      const row = executionRow(execution);
      drawnRows.set(execution.id, { content, row });
      return row;
    });
    if (rows.length === body.children.length && rows.every((row, index) => row === body.children[index])) return;
    const focused = document.activeElement?.closest("tr")?.getAttribute("data-execution");
    body.replaceChildren(...rows);
    rows.find((row) => row.dataset["execution"] === focused)?.querySelector("a")?.focus({ preventScroll: true });
  }

  function noMatch(): HTMLElement {
    const clear = on(el("button", { type: "button" }, "Clear filters"), {
      click: () => {
        status.value = "";
        name.value = "";
        applyFilter();
      },
    });
    return el("div", { class: "empty" }, el("p", null, "No execution matches these filters."), clear);
  }
}

const COLUMNS: [title: string, kind: string][] = [
  ["Status", ""], ["Name", ""], ["Agent", ""], ["Started", ""], ["Duration", "numeric"],
  ["Steps", "numeric"], ["Tokens", "numeric"], ["Cost", "numeric"], ["Record", ""],
];

function executionRow(execution: Execution): HTMLElement {
  const cell = (label: string, kind: string, ...children: Parameters<typeof el>[2][]) =>
    el("td", { role: "cell", class: kind, "data-label": label }, ...children);
  const errors = execution.error_steps;
  return el(
    "tr",
    { role: "row", "data-execution": execution.id },
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
  if (window === undefined || window.from === null) return "";
  return `, started since ${timestamp(window.from).slice(0, 16)}`;
}

function filterFromUrl(): Filter {
  const search = new URLSearchParams(location.search);
  const status = search.get("status") ?? "";
  return { status: STATUSES.includes(status) ? status : "", name: search.get("name") ?? "" };
}

function searchOf(filter: Filter): string {
  const search = new URLSearchParams();
  if (filter.status !== "") search.set("status", filter.status);
  if (filter.name !== "") search.set("name", filter.name);
  return search.size === 0 ? "" : `?${search}`;
}
