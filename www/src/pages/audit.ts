/** The audit log, for admins: newest first, by action and target, and whether its chain is whole. */

import { listAudit, verifyAudit, type AuditEntry, type AuditFault, type AuditVerification } from "../administration.ts";
import { notice, recordedOrNothing } from "../controls.ts";
import { el, on, recorded, replaceChildren } from "../dom.ts";
import { plural, timestamp } from "../format.ts";
import type { PageContext } from "./page.ts";

const ACTIONS = [
  "sign_in.begin", "sign_in.end", "project.create", "project.change", "project.delete", "key.create", "key.rotate", "key.revoke",
  "generation.add", "generation.retire", "denial.add", "denial.remove", "execution.read", "execution.verify", "execution.delete",
  "person.delete", "retention.apply", "project.export", "budget.warn", "budget.stop", "sender.reject",
];

export function showAudit(context: PageContext): void {
  document.title = "Audit log · Stepseal";
  new AuditView(context).start();
}

class AuditView {
  readonly #context: PageContext;
  readonly #action = el("select", { id: "audit-action", "aria-label": "Action" }, el("option", { value: "" }, "Any action"), ...ACTIONS.map((value) => el("option", { value }, value)));
  readonly #target = el("input", { id: "audit-target", type: "search", placeholder: "Exact target", "aria-label": "Exact target", autocomplete: "off", spellcheck: "false" });
  readonly #verify = el("button", { id: "audit-verify", type: "button", class: "verify" }, "Verify the chain");
  readonly #problem = el("div", { "aria-live": "polite" });
  readonly #findings = el("div", { id: "audit-findings", "aria-live": "polite" });
  readonly #rows = el("tbody");
  readonly #older = el("button", { type: "button" }, "Older");
  readonly #foot = el("div", { class: "list-foot" });
  #cursor: string | null = null;

  constructor(context: PageContext) {
    this.#context = context;
  }

  start(): void {
    const filters = el("form", { class: "filters", role: "search" }, this.#action, this.#target, this.#verify);
    const headings = ["No.", "When", "Who", "What", "To what", "Details"].map((title) => el("th", { scope: "col" }, title));
    replaceChildren(this.#context.host,
      el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, "Audit log"), filters), this.#problem, this.#findings,
      el("div", { class: "scroll-x" }, el("table", { class: "plain audit" }, el("thead", null, el("tr", null, ...headings)), this.#rows)), this.#foot);
    on(filters, {
      submit: (event) => event.preventDefault(),
      change: () => void this.#load(null),
    });
    on(this.#older, { click: () => void this.#load(this.#cursor) });
    on(this.#verify, { click: () => void this.#check() });
    void this.#load(null);
  }

  /** Shows the page after `cursor` below the others, or the first one alone. */
  #load(cursor: string | null): Promise<void> {
    return this.#attempt(async () => {
      const query = { action: this.#action.value, target: this.#target.value.trim(), ...(cursor === null ? {} : { cursor }) };
      const page = await listAudit(query, this.#context.signal);
      if (cursor === null) replaceChildren(this.#rows);
      this.#rows.append(...page.entries.map(entryRow));
      this.#cursor = page.next_cursor;
      const count = this.#rows.childElementCount;
      replaceChildren(this.#foot, el("span", { class: "hint" }, count === 0 ? "No entry matches." : plural(count, "entry", "entries")), page.next_cursor === null ? null : this.#older);
    });
  }

  async #check(): Promise<void> {
    this.#verify.disabled = true;
    await this.#attempt(async () => {
      const found = await verifyAudit(this.#context.signal);
      this.#verify.dataset["verdict"] = found.verdict;
      replaceChildren(this.#findings, findingsView(found));
    });
    this.#verify.disabled = false;
  }

  async #attempt(act: () => Promise<void>): Promise<void> {
    replaceChildren(this.#problem);
    try {
      await act();
    } catch (error) {
      if (!this.#context.signal.aborted) replaceChildren(this.#problem, notice("problem", error instanceof Error ? error.message : String(error)));
    }
  }
}

function entryRow(entry: AuditEntry): HTMLElement {
  return el("tr", { "data-seq": String(entry.seq) },
    el("td", { class: "numeric" }, entry.seq), el("td", null, timestamp(entry.at)), el("td", null, recorded(entry.actor)),
    el("td", null, el("code", null, entry.action)), el("td", null, recordedOrNothing(entry.target)), el("td", null, recordedOrNothing(detailsText(entry.details))));
}

function detailsText(details: unknown): string {
  if (typeof details !== "object" || details === null) return "";
  return Object.entries(details).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
}

function findingsView(found: AuditVerification): HTMLElement {
  const intact = found.verdict === "verified";
  return el("section", { class: "findings", "data-verdict": found.verdict },
    el("p", { class: "verdict" }, el("strong", null, intact ? "Whole. " : "Tampered. "),
      intact ? `${plural(found.entries, "entry", "entries")}, each fitting the one before it.` : "Entries are not what was written."),
    el("ul", { class: "faults" }, ...found.faults.map((fault) => el("li", null, faultText(fault)))),
    el("p", { class: "hint" }, "Note the newest entry elsewhere to prove the log against anyone later: ", el("code", null, `seq=${found.head.seq}&hash=${found.head.hash}`)));
}

function faultText(fault: AuditFault): string {
  if (fault.kind === "missing") return fault.from === fault.to ? `Entry ${fault.from} is missing` : `Entries ${fault.from} to ${fault.to} are missing`;
  return fault.kind === "altered" ? `Entry ${fault.seq} was altered` : `Entry ${fault.seq} is not the one that was noted`;
}
