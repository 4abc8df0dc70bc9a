/** The project's settings, its API keys, its use and its prices, for admins. A new key is shown here once and kept nowhere. */

import { changeProject, createKey, listKeys, revokeKey, rotateKey, type ApiKey, type NewApiKey } from "../administration.ts";
import { readProject, type Project } from "../api.ts";
import { copyButton, notice, time } from "../controls.ts";
import { el, on, recorded, replaceChildren, type Child } from "../dom.ts";
import { NOTHING } from "../format.ts";
import type { PageContext } from "./page.ts";
import { showPrices } from "./prices.ts";
import { showUsage } from "./usage.ts";

const DAY_MS = 86_400_000;
const LIVES: readonly (readonly [string, string])[] = [["", "never expires"], ["30", "expires in 30 days"], ["90", "expires in 90 days"], ["365", "expires in a year"]];

export function showProject(context: PageContext): void {
  document.title = "Project · Stepseal";
  const problem = el("div", { "aria-live": "polite" });
  const settings = el("section", { class: "panel", "aria-label": "Settings" });
  const keys = el("section", { class: "panel", "aria-label": "API keys" });
  const usage = el("section", { class: "panel", "aria-label": "Usage" });
  const prices = el("section", { class: "panel", "aria-label": "Prices" });
  replaceChildren(context.host, el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, "Project")), problem, settings, keys, usage, prices);
  const attempt = attempting(problem, context.signal);
  void attempt(async () => drawSettings(settings, await readProject(context.signal), attempt));
  new KeysPanel(keys, attempt, context.signal).start();
  showUsage(usage, attempt, context.signal);
  showPrices(prices, attempt, context.signal);
}

type Attempt = (act: () => Promise<void>) => Promise<void>;

/** Runs what the reader asked for and says what went wrong. */
function attempting(problem: HTMLElement, signal: AbortSignal): Attempt {
  return async (act) => {
    replaceChildren(problem);
    try {
      await act();
    } catch (error) {
      if (!signal.aborted) replaceChildren(problem, notice("problem", error instanceof Error ? error.message : String(error)));
    }
  };
}

// ---- settings ----

const SEARCHES: [value: string, label: string][] = [
  ["off", "Off"],
  ["hashed", "Whole words, hashed"],
  ["plain", "Beginnings too, unencrypted"],
];

function drawSettings(host: HTMLElement, project: Project, attempt: Attempt): void {
  const name = el("input", { id: "project-name", type: "text", value: project.name, autocomplete: "off" });
  const origins = el("input", { id: "project-origins", type: "text", value: project.origins.join(" "), autocomplete: "off", spellcheck: "false" });
  const turnstile = el("input", { id: "project-turnstile", type: "checkbox", checked: project.turnstile });
  const subjectKeys = el("input", { id: "project-subject-keys", type: "checkbox", checked: project.subject_keys });
  const search = el("select", { id: "project-search" }, ...SEARCHES.map(([value, label]) => el("option", { value, selected: value === project.search }, label)));
  const paused = project.status === "paused";
  const redraw = (changed: Project) => drawSettings(host, changed, attempt);
  const form = el("form", { class: "fields" },
    field("project-name", "Name", name), field("project-origins", "Origins, separated by spaces", origins),
    choice("project-turnstile", "Pages solve a Turnstile challenge before this server mints them a session", turnstile),
    choice("project-subject-keys", "A key for each person, destroyed with that person's data", subjectKeys),
    field("project-search", "Full text of names, errors and previews", search),
    el("div", { class: "actions-row" },
      el("button", { type: "submit", class: "primary" }, "Save"),
      on(el("button", { type: "button" }, paused ? "Resume" : "Pause"), {
        click: () => void attempt(async () => redraw(await changeProject({ status: paused ? "active" : "paused" }))),
      }),
      paused ? el("span", { class: "hint" }, "Paused: batches are refused and wait in their pages.") : null));
  on(form, {
    submit: (event) => {
      event.preventDefault();
      const wanted = { name: name.value.trim(), origins: origins.value.split(/\s+/).filter((origin) => origin !== "") };
      const choices = { turnstile: turnstile.checked, subject_keys: subjectKeys.checked, search: search.value };
      void attempt(async () => redraw(await changeProject({ ...wanted, ...choices })));
    },
  });
  replaceChildren(host, el("h2", null, "Settings"), el("p", { class: "hint" }, "Project ", el("code", null, project.id), ". Changes hold everywhere within a minute."), form);
}

function field(id: string, label: string, control: HTMLElement): HTMLElement {
  return el("div", { class: "field" }, el("label", { for: id }, label), control);
}

function choice(id: string, label: string, control: HTMLElement): HTMLElement {
  return el("div", { class: "field" }, el("label", { for: id }, control, " ", label));
}

// ---- keys ----

class KeysPanel {
  readonly #attempt: Attempt;
  readonly #signal: AbortSignal;
  readonly #shown = el("div", { "aria-live": "polite" });
  readonly #rows = el("tbody");

  constructor(host: HTMLElement, attempt: Attempt, signal: AbortSignal) {
    this.#attempt = attempt;
    this.#signal = signal;
    const headings = ["Name", "Role", "Key id", "Created", "Last used", "State", ""].map((title) => el("th", { scope: "col" }, title));
    replaceChildren(host, el("h2", null, "API keys"), this.#newKeyForm(), this.#shown,
      el("div", { class: "scroll-x" }, el("table", { class: "plain keys" }, el("thead", null, el("tr", null, ...headings)), this.#rows)));
  }

  start(): void {
    void this.#attempt(() => this.#refresh());
  }

  async #refresh(): Promise<void> {
    const keys = await listKeys(this.#signal);
    replaceChildren(this.#rows, ...keys.map((key) => this.#row(key)));
  }

  #newKeyForm(): HTMLElement {
    const name = el("input", { id: "key-name", type: "text", placeholder: "Name of the new key", "aria-label": "Name of the new key", required: true, autocomplete: "off" });
    const role = el("select", { id: "key-role", "aria-label": "Role" }, ...["viewer", "admin", "ingest"].map((value) => el("option", { value }, value)));
    const life = el("select", { id: "key-life", "aria-label": "Expiry" }, ...LIVES.map(([value, label]) => el("option", { value }, label)));
    const form = el("form", { class: "filters" }, name, role, life, el("button", { type: "submit", class: "primary" }, "Create key"));
    return on(form, {
      submit: (event) => {
        event.preventDefault();
        const expiry = life.value === "" ? {} : { expires_at: Date.now() + Number(life.value) * DAY_MS };
        void this.#attempt(async () => {
          this.#reveal(await createKey({ role: role.value, name: name.value.trim(), ...expiry }));
          name.value = "";
          await this.#refresh();
        });
      },
    });
  }

  #reveal(made: NewApiKey, more: Child = null): void {
    replaceChildren(this.#shown, notice("info", el("p", null, "Key ", recorded(made.name), ", shown this once: ", el("code", { id: "new-key" }, made.key), copyButton(made.key, "Copy key")), more));
  }

  #row(key: ApiKey): HTMLElement {
    const ended = key.revoked_at !== null || (key.expires_at !== null && key.expires_at <= Date.now());
    return el("tr", { "data-key": key.id, "data-ended": String(ended) },
      el("td", null, recorded(key.name)), el("td", null, key.role), el("td", null, el("code", null, key.id)),
      el("td", null, time(key.created_at)), el("td", null, key.last_used_on ?? NOTHING), el("td", null, ...stateOf(key)),
      el("td", { class: "row-actions" }, ...(ended ? [] : [this.#rotateButton(key), this.#revokeButton(key)])));
  }

  #rotateButton(key: ApiKey): HTMLElement {
    return on(el("button", { type: "button", class: "link" }, "Rotate"), {
      click: () => void this.#attempt(async () => {
        this.#reveal(await rotateKey(key.id), el("p", null, "The old one goes on for a day."));
        await this.#refresh();
      }),
    });
  }

  /** Asks again in place: a revoked key does not come back. */
  #revokeButton(key: ApiKey): HTMLElement {
    const button = el("button", { type: "button", class: "link danger" }, "Revoke");
    let asked = false;
    return on(button, {
      click: () => {
        if (!asked) {
          asked = true;
          button.textContent = "Really revoke?";
          return;
        }
        void this.#attempt(async () => {
          await revokeKey(key.id);
          await this.#refresh();
        });
      },
      blur: () => {
        asked = false;
        button.textContent = "Revoke";
      },
    });
  }
}

function stateOf(key: ApiKey): Child[] {
  if (key.revoked_at !== null) return ["revoked ", time(key.revoked_at)];
  if (key.expires_at === null) return ["valid"];
  return key.expires_at <= Date.now() ? ["expired ", time(key.expires_at)] : ["valid until ", new Date(key.expires_at).toISOString().slice(0, 10)];
}
