/** The shell: who is signed in, which page is shown, and the bar above both. */

import { readProject, resumeSession, signOut } from "./api.ts";
import { el, on, recorded, replaceChildren } from "./dom.ts";
import { icon } from "./icons.ts";
import { showAudit } from "./pages/audit.ts";
import { showComparison } from "./pages/comparison.ts";
import { showExecution } from "./pages/execution.ts";
import { forgetExecutions, showExecutions } from "./pages/executions.ts";
import { showProject } from "./pages/project.ts";
import { showSignIn } from "./pages/sign-in.ts";
import { routeOf, startRouter, type Route } from "./router.ts";
import { isSignedIn, onSessionEnd, role } from "./session.ts";

const bar = document.getElementById("bar")!;
const main = document.getElementById("main")!;
const BELOW_EXECUTIONS = new Set<Route["page"]>(["execution", "comparison"]);
/** Aborts what the page that is left had begun. */
let leave = new AbortController();
/** Known once the playground was opened. */
let closePlayground = () => {};

startRouter((route) => {
  show(route);
  // The next Tab goes on in the new page, and a screen reader says which one it is.
  (main.querySelector<HTMLElement>("h1") ?? main).focus({ preventScroll: true });
});
onSessionEnd((reason) => {
  forgetExecutions();
  closePlayground();
  askToSignIn(reason);
});
void begin();

async function begin(): Promise<void> {
  let trouble: string | null = null;
  await resumeSession().catch((error: unknown) => {
    trouble = error instanceof Error ? error.message : String(error);
  });
  if (isSignedIn()) enter();
  else askToSignIn(trouble);
}

function askToSignIn(reason: string | null): void {
  leave.abort();
  document.title = "Sign in · Stepseal";
  bar.hidden = true;
  showSignIn(main, reason, enter);
}

function enter(): void {
  bar.hidden = false;
  drawBar();
  show(routeOf(location.pathname));
}

function show(route: Route): void {
  if (!isSignedIn()) return;
  leave.abort();
  leave = new AbortController();
  const context = { host: pageHost(), signal: leave.signal };
  markCurrent(route);
  switch (route.page) {
    case "executions":
      return showExecutions(context);
    case "execution":
      return showExecution(context, route.id);
    case "comparison":
      return showComparison(context, route.a, route.b);
    case "playground":
      return void openPlayground(context);
    case "project":
      return role() === "admin" ? showProject(context) : showUnknown(context.host);
    case "audit":
      return role() === "admin" ? showAudit(context) : showUnknown(context.host);
    case "unknown":
      return showUnknown(context.host);
  }
}

/** A fresh element for each page: what a left page still draws goes nowhere. */
function pageHost(): HTMLElement {
  const host = el("div", { class: "page" });
  replaceChildren(main, host);
  return host;
}

async function openPlayground(context: { host: HTMLElement; signal: AbortSignal }): Promise<void> {
  const page = await import("./pages/playground.ts");
  closePlayground = page.closePlayground;
  if (!context.signal.aborted) page.showPlayground(context);
}

function showUnknown(host: HTMLElement): void {
  document.title = "Not found · Stepseal";
  replaceChildren(host, el("div", { class: "empty" }, el("h1", { tabindex: "-1" }, "No such page"), el("p", null, el("a", { href: "/" }, "All executions"))));
}

function drawBar(): void {
  const project = el("span", { class: "project" });
  const signOutButton = on(el("button", { type: "button", class: "link" }, "Sign out"), { click: () => void signOut() });
  replaceChildren(
    bar,
    el("a", { class: "brand", href: "/" }, icon("seal"), "Stepseal"),
    el("nav", { "aria-label": "Pages" },
      el("a", { href: "/", "data-page": "executions" }, "Executions"),
      el("a", { href: "/playground", "data-page": "playground" }, "Playground"),
      ...(role() === "admin" ? [el("a", { href: "/project", "data-page": "project" }, "Project"), el("a", { href: "/audit", "data-page": "audit" }, "Audit log")] : [])),
    el("span", { class: "spacer" }),
    project,
    signOutButton,
  );
  readProject().then(
    ({ name }) => replaceChildren(project, recorded(name), el("span", { class: "role" }, role())),
    // The page below says what is wrong; the bar only lacks the name.
    () => {},
  );
}

function markCurrent(route: Route): void {
  for (const link of bar.querySelectorAll<HTMLElement>("nav a")) {
    const current = link.dataset["page"] === (BELOW_EXECUTIONS.has(route.page) ? "executions" : route.page);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
