/** Sign-in: a pasted key, checked in form here and then by the server. */

import { Problem, signIn } from "../api.ts";
import { notice } from "../controls.ts";
import { el, on, replaceChildren } from "../dom.ts";
import { icon } from "../icons.ts";
import { keyFault } from "../session.ts";

export function showSignIn(host: HTMLElement, reason: string | null, signedIn: () => void): void {
  const message = el("div", { class: "sign-in-message" });
  const key = el("input", {
    id: "key", type: "password", name: "key", placeholder: "stepseal_viewer_…",
    autocomplete: "off", spellcheck: "false", "aria-describedby": "key-help",
  });
  const submit = el("button", { type: "submit", class: "primary" }, "Sign in");
  const form = el(
    "form",
    { class: "sign-in" },
    el("h1", null, icon("seal"), "Stepseal"),
    el("p", { class: "lead" }, "What your agents did, step by step, signed where it happened."),
    el("label", { for: "key" }, "Viewer or admin key"),
    el("div", { class: "field-row" }, key, submit),
    message,
    el(
      "p",
      { id: "key-help", class: "hint" },
      "Sent to this server alone, once, for a sign-in of twelve hours; this browser does not keep it. On a local set-up ",
      el("code", null, "npm start"), " prints the key and keeps it in ", el("code", null, ".stepseal/dev.json"), ".",
    ),
  );
  on(form, {
    submit: (event) => {
      event.preventDefault();
      void attempt();
    },
  });

  async function attempt(): Promise<void> {
    const pasted = key.value.trim().replace(/^["']|["',]+$/g, "");
    const fault = keyFault(pasted);
    if (fault !== null) return refuse(fault);
    submit.disabled = true;
    replaceChildren(message);
    try {
      await signIn(pasted);
      signedIn();
    } catch (error) {
      refuse(refusal(error));
    } finally {
      submit.disabled = false;
    }
  }

  function refuse(why: string): void {
    replaceChildren(message, notice("problem", why));
    key.setAttribute("aria-invalid", "true");
    key.select();
    key.focus();
  }

  if (reason !== null) replaceChildren(message, notice("info", reason));
  replaceChildren(host, form);
  key.focus();
}

function refusal(error: unknown): string {
  if (!(error instanceof Problem)) return "Signing in failed in this page. Reload it and try again.";
  if (error.status === 401) return "No project here knows this key. It may be mistyped, revoked, or of another server.";
  if (error.code === "role_insufficient") return "This key may not read executions. Use a viewer or admin key.";
  if (error.status === 429) return "Too many attempts from this address. Wait a minute and try again.";
  return error.message;
}
