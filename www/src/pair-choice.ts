/** Two executions to compare, chosen by boxes of the list; the choice outlives the list's filters and refreshes. */

import type { Execution } from "./api.ts";
import { el, on, recorded, replaceChildren } from "./dom.ts";
import { timestamp } from "./format.ts";
import { comparisonPath, goTo } from "./router.ts";

export class PairChoice {
  readonly form = el("form", { id: "compare-form", class: "choice", "aria-label": "Compare", hidden: true });
  readonly #said = el("span", { role: "status" });
  readonly #compare = el("button", { type: "submit", class: "primary" }, "Compare");
  readonly #boxes = new Map<string, HTMLInputElement>();
  readonly #chosen = new Map<string, Execution>();

  constructor() {
    const clear = on(el("button", { type: "button" }, "Clear"), { click: () => this.#clear() });
    replaceChildren(this.form, this.#said, el("span", { class: "actions-row" }, this.#compare, clear));
    on(this.form, {
      submit: (event) => {
        event.preventDefault();
        const [a, b] = [...this.#chosen.keys()];
        if (a !== undefined && b !== undefined) goTo(comparisonPath(a, b));
      },
    });
  }

  /** A box of the form, so that Enter in it compares. */
  box(execution: Execution): HTMLElement {
    const { id, name } = execution;
    const box = el("input", { type: "checkbox", form: "compare-form", "aria-label": `Compare ${name ?? id}, started ${timestamp(execution.started_at)}`, checked: this.#chosen.has(id) });
    this.#boxes.set(id, box);
    on(box, {
      change: () => {
        if (box.checked) this.#chosen.set(id, execution);
        else this.#chosen.delete(id);
        this.#draw();
      },
    });
    box.disabled = !box.checked && this.#chosen.size === 2;
    return el("label", { class: "choose" }, box);
  }

  #clear(): void {
    const [first] = this.#chosen.keys();
    this.#chosen.clear();
    for (const box of this.#boxes.values()) box.checked = false;
    this.#draw();
    if (first !== undefined) this.#boxes.get(first)?.focus();
  }

  #draw(): void {
    const { size } = this.#chosen;
    for (const box of this.#boxes.values()) box.disabled = size === 2 && !box.checked;
    this.form.hidden = size === 0;
    this.#compare.disabled = size < 2;
    const [one, other] = [...this.#chosen.values()].map(chosen);
    if (one === undefined) replaceChildren(this.#said);
    else if (other === undefined) replaceChildren(this.#said, one, " chosen: choose another one to compare it with.");
    else replaceChildren(this.#said, one, " and ", other);
  }
}

function chosen({ id, name, started_at }: Execution): HTMLElement {
  return el("span", null, recorded(name ?? id), " ", el("small", null, timestamp(started_at).slice(0, 19)));
}
