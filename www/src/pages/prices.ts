/** A project's prices: the table, and its rows to be changed, for admins. */

import { readPrices, replacePrices, type Price, type PriceTable, type WantedPrice } from "../administration.ts";
import { Problem } from "../api.ts";
import { notice, time } from "../controls.ts";
import { el, on, recorded, replaceChildren, type Child } from "../dom.ts";
import { BUCKETS, dollars, draftOf, EMPTY_DRAFT, isFault, placeOf, UNREADABLE, validityOf, wantedOf, type Draft, type Member } from "../prices.ts";

const HOW_TO = "US dollars for a million tokens. A model's name stands for its dated snapshots too, one that ends in * for all that begins so; the name that fits best counts. A price with a time holds for steps that began in it.";

type Attempt = (act: () => Promise<void>) => Promise<void>;

export function showPrices(host: HTMLElement, attempt: Attempt, signal: AbortSignal): void {
  replaceChildren(host, el("h2", null, "Prices"), el("p", { class: "faint" }, "Loading…"));
  void attempt(async () => new PricesPanel(host, signal).show(await readPrices(signal)));
}

class PricesPanel {
  readonly #signal: AbortSignal;
  readonly #said = el("div", { class: "price-said" });
  readonly #contents = el("div", { class: "price-form" });

  constructor(host: HTMLElement, signal: AbortSignal) {
    this.#signal = signal;
    replaceChildren(host,
      el("h2", null, "Prices"),
      el("p", { class: "hint" },
        "What a step cost that reports its model and tokens but no cost. Prices hold for what is stored from their saving on; what is stored already keeps the version it was priced under."),
      this.#contents, this.#said);
  }

  show(table: PriceTable, said: Child = null, focus = false): void {
    const edit = on(el("button", { type: "button", id: "prices-edit" }, table.prices.length === 0 ? "Add prices" : "Edit prices"), { click: () => this.#edit(table) });
    replaceChildren(this.#said, said);
    replaceChildren(this.#contents, versionLine(table), priceTable(table.prices), el("div", { class: "actions-row" }, edit));
    if (focus) edit.focus();
  }

  #edit(table: PriceTable): void {
    const editor = new PricesEditor(table);
    const cancel = on(el("button", { type: "button" }, "Cancel"), { click: () => this.show(table, null, true) });
    const save = el("button", { type: "submit", class: "primary", id: "prices-save" }, "Save prices");
    const form = el("form", { class: "price-form", "aria-label": `Prices that follow version ${table.version}` }, el("p", { class: "hint" }, HOW_TO), editor.element, el("div", { class: "actions-row" }, editor.add, save, cancel));
    // The API says what is wrong with a value, and that is shown where it stands.
    form.noValidate = true;
    on(form, {
      submit: (event) => {
        event.preventDefault();
        void this.#save(editor, table.version, save);
      },
    });
    replaceChildren(this.#said);
    replaceChildren(this.#contents, form);
    editor.focus();
  }

  async #save(editor: PricesEditor, expectedVersion: number, button: HTMLButtonElement): Promise<void> {
    replaceChildren(this.#said);
    const wanted = editor.wanted();
    if (wanted === null) return;
    button.disabled = true;
    try {
      const table = await replacePrices(expectedVersion, wanted);
      this.show(table, notice("info", `Saved as version ${table.version}. It holds everywhere within a minute.`), true);
    } catch (error) {
      if (!this.#signal.aborted) await this.#refused(editor, error, button);
    } finally {
      button.disabled = false;
    }
  }

  async #refused(editor: PricesEditor, error: unknown, button: HTMLButtonElement): Promise<void> {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Problem && error.code === "changed_meanwhile") return this.#offerTheirs(editor, button);
    if (error instanceof Problem && editor.fault(error.field, message)) return;
    replaceChildren(this.#said, notice("problem", message));
  }

  /** What is typed stays: whoever typed it says which of the two is wanted. */
  async #offerTheirs(editor: PricesEditor, button: HTMLButtonElement): Promise<void> {
    try {
      const theirs = await readPrices(this.#signal);
      const take = on(el("button", { type: "button" }, `Discard mine, show version ${theirs.version}`), { click: () => this.show(theirs, null, true) });
      const replace = on(el("button", { type: "button", class: "danger" }, `Replace version ${theirs.version} by mine`), { click: () => void this.#save(editor, theirs.version, button) });
      replaceChildren(this.#said,
        notice("problem", `Somebody else changed the prices meanwhile: they are at version ${theirs.version}. Nothing of yours is saved, and what you typed is still above.`),
        el("h3", null, "The prices as they are now"), versionLine(theirs), priceTable(theirs.prices), el("div", { class: "actions-row" }, take, replace));
    } catch (error) {
      if (!this.#signal.aborted) replaceChildren(this.#said, notice("problem", error instanceof Error ? error.message : String(error)));
    }
  }
}

function versionLine({ version, made_at, prices }: PriceTable): HTMLElement {
  if (made_at === null) return el("p", null, "There are no prices yet: costs are what steps report.");
  return el("p", null, `Version ${version}, saved `, time(made_at), prices.length === 0 ? ": no prices, so costs are what steps report." : ". US dollars for a million tokens.");
}

/** Roles are said again: the narrow layout takes those of the elements away. */
function priceTable(prices: readonly Price[]): HTMLElement | null {
  if (prices.length === 0) return null;
  const heading = (title: string, kind = "") => el("th", { scope: "col", role: "columnheader", class: kind }, title);
  const cell = (label: string, kind: string, value: Child) => el("td", { role: "cell", class: kind, "data-label": label }, value);
  const rows = prices.map((price) => el("tr", { role: "row", "data-model": price.model },
    cell("Model", "", recorded(price.model)), cell("Valid", "", validityOf(price)),
    ...BUCKETS.map(({ name, label }) => cell(label, "numeric", dollars(price.usd_per_million[name])))));
  return el("div", { class: "scroll-x" }, el("table", { class: "plain prices", role: "table", "aria-label": "Prices of models" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heading("Model"), heading("Valid"), ...BUCKETS.map(({ label }) => heading(label, "numeric")))),
    el("tbody", { role: "rowgroup" }, ...rows)));
}

// ---- rows to be changed ----

class PricesEditor {
  readonly element = el("div", { class: "price-form" });
  readonly add = el("button", { type: "button", id: "prices-add" }, "Add a price");
  #rows: PriceRow[] = [];

  constructor({ prices }: PriceTable) {
    for (const price of prices) this.#append(price);
    if (prices.length === 0) this.#append(null);
    on(this.add, { click: () => this.#append(null).focus("model") });
  }

  focus(): void {
    (this.#rows[0] ?? this.#append(null)).focus("model");
  }

  /** What to send; null, and said in place, if something typed is no value. */
  wanted(): WantedPrice[] | null {
    for (const row of this.#rows) row.clear();
    const wanted: WantedPrice[] = [];
    for (const row of this.#rows) {
      const price = row.wanted();
      if (isFault(price)) {
        row.fault(price.member, price.message);
        return null;
      }
      wanted.push(price);
    }
    return wanted;
  }

  /** Says it where the field stands; false if it stands in no row. */
  fault(field: string | null, message: string): boolean {
    const place = placeOf(field);
    const row = place === null ? undefined : this.#rows[place.row];
    if (place === null || row === undefined) return false;
    row.fault(place.member, named(message));
    return true;
  }

  #append(price: Price | null): PriceRow {
    const row = new PriceRow(price, () => this.#remove(row));
    this.#rows.push(row);
    this.element.append(row.element);
    return row;
  }

  #remove(row: PriceRow): void {
    const at = this.#rows.indexOf(row);
    this.#rows = this.#rows.filter((other) => other !== row);
    row.element.remove();
    const next = this.#rows[at] ?? this.#rows.at(-1);
    if (next === undefined) this.add.focus();
    else next.focus("model");
  }
}

/** The API counts rows from 0, people from 1. */
function named(message: string): string {
  return message.replace(/prices\[(\d+)\]/g, (_, index: string) => `price ${Number(index) + 1}`);
}

/** Numbers the controls: rows come and go. */
let made = 0;

class PriceRow {
  readonly element: HTMLElement;
  readonly #price: Price | null;
  readonly #controls: Readonly<Record<Member, Control>>;
  readonly #fault = el("p", { class: "field-fault", role: "alert" });

  constructor(price: Price | null, remove: () => void) {
    made += 1;
    this.#price = price;
    const draft = price === null ? EMPTY_DRAFT : draftOf(price);
    const of = (member: Member, label: string, type: string, placeholder = "") => control(`price-${made}-${member}`, member, label, type, draft[member], placeholder);
    const rates = BUCKETS.map(({ name, label, as }) => [name, of(name, label, "number", as === null ? "" : `as ${as}`)] as const);
    const [model, from, until] = [of("model", "Model", "text"), of("valid_from", "Valid from", "datetime-local"), of("valid_until", "Valid until", "datetime-local")];
    this.#controls = { model, valid_from: from, valid_until: until, ...(Object.fromEntries(rates) as Record<(typeof rates)[number][0], Control>) };
    const button = on(el("button", { type: "button", class: "danger", "aria-label": `Remove the price of ${price?.model ?? "the new model"}` }, "Remove"), { click: remove });
    this.element = el("fieldset", { class: "price-row" }, el("legend", { class: "visually-hidden" }, price === null ? "New price" : `Price of ${price.model}`),
      model.field, ...rates.map(([, { field }]) => field), from.field, until.field, button, this.#fault);
  }

  focus(member: Member): void {
    this.#controls[member].input.focus();
  }

  wanted(): ReturnType<typeof wantedOf> {
    const draft = Object.fromEntries(Object.entries(this.#controls).map(([member, { input }]) => [member, input.validity.badInput ? UNREADABLE : input.value]));
    return wantedOf(draft as Draft, this.#price);
  }

  /** Without a member it is the row's. */
  fault(member: Member | null, message: string): void {
    if (member === null) replaceChildren(this.#fault, message);
    else this.#controls[member].say(message);
    this.focus(member ?? "model");
  }

  clear(): void {
    replaceChildren(this.#fault);
    for (const { say } of Object.values(this.#controls)) say(null);
  }
}

interface Control {
  readonly field: HTMLElement;
  readonly input: HTMLInputElement;
  say(fault: string | null): void;
}

function control(id: string, member: Member, label: string, type: string, value: string, placeholder: string): Control {
  const input = el("input", { id, type, value, placeholder, autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-fault`, ...(type === "text" ? {} : { step: "any" }) });
  const said = el("p", { id: `${id}-fault`, class: "field-fault", role: "alert" });
  const say = (fault: string | null) => {
    replaceChildren(said, fault);
    input.setAttribute("aria-invalid", String(fault !== null));
  };
  on(input, { input: () => say(null) });
  return { field: el("div", { class: "field", "data-member": member }, el("label", { for: id }, label), input, said), input, say };
}
