/** From one execution to its comparison with another: the button, and what it opens. */

import { listExecutions, type Execution } from "./api.ts";
import { statusLabel, time } from "./controls.ts";
import { el, on, replaceChildren } from "./dom.ts";
import { duration } from "./format.ts";
import { comparisonPath, executionIn, goTo } from "./router.ts";

const OFFERED = 5;

export interface CompareParts {
  readonly button: HTMLElement;
  readonly panel: HTMLElement;
  /** Says which name the executions have that are offered. */
  named(name: string | null): void;
}

/** Outlives redraws of the page's head: someone may be typing. */
export function compareParts(id: string, signal: AbortSignal): CompareParts {
  const button = el("button", { type: "button", id: "compare", "aria-expanded": "false", "aria-controls": "compare-panel" }, "Compare with…");
  const other = el("input", { id: "compare-id", type: "text", autocomplete: "off", spellcheck: "false", "aria-describedby": "compare-fault" });
  const fault = el("p", { id: "compare-fault", class: "field-fault", role: "alert" });
  const offers = el("div");
  const form = el("form", { class: "field" },
    el("label", { for: "compare-id" }, "Id or address of the execution to compare with"),
    el("div", { class: "field-row" }, other, el("button", { type: "submit", class: "primary" }, "Compare")), fault);
  const panel = el("section", { id: "compare-panel", class: "panel", "aria-label": "Compare with another execution", hidden: true }, form, offers);
  let name: string | null = null;

  const open = (isOpen: boolean) => {
    panel.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return button.focus();
    other.focus();
    // Without an answer nothing is offered; an id can still be typed.
    if (name !== null) void offer(offers, id, name, signal).catch(() => {});
  };
  on(button, { click: () => open(panel.hidden === true) });
  on(panel, { keydown: (event) => { if (event.key === "Escape") open(false); } });
  on(form, {
    submit: (event) => {
      event.preventDefault();
      const chosen = executionIn(other.value);
      const wrong = faultOf(id, chosen);
      replaceChildren(fault, wrong);
      other.setAttribute("aria-invalid", String(wrong !== null));
      if (wrong !== null) other.focus();
      else goTo(comparisonPath(id, chosen!));
    },
  });
  return { button, panel, named: (known) => { name = known; } };
}

function faultOf(id: string, chosen: string | null): string | null {
  if (chosen === null) return "Type or paste the id of an execution, or the address of its page.";
  return chosen === id ? "This is the execution itself: choose another one." : null;
}

async function offer(host: HTMLElement, id: string, name: string, signal: AbortSignal): Promise<void> {
  const { executions } = await listExecutions({ name, limit: OFFERED + 1 }, signal);
  const others = executions.filter((execution) => execution.id !== id).slice(0, OFFERED);
  if (others.length === 0) return replaceChildren(host);
  replaceChildren(host, el("h2", null, "Newest of the same name"), el("ul", { class: "offers" }, ...others.map((execution) => offered(id, execution))));
}

function offered(id: string, execution: Execution): HTMLElement {
  return el("li", null,
    el("a", { href: comparisonPath(id, execution.id) }, el("code", null, execution.id)),
    statusLabel(execution.status), el("span", { class: "faint" }, time(execution.started_at), " · ", duration(execution.duration_ms)));
}
