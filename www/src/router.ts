/** Plain paths, changed through the History API; unknown paths reach the same document (see `wrangler.toml`, assets). */

export type Route =
  | { readonly page: "executions" }
  | { readonly page: "execution"; readonly id: string }
  | { readonly page: "comparison"; readonly a: string; readonly b: string }
  | { readonly page: "playground" }
  | { readonly page: "project" }
  | { readonly page: "audit" }
  | { readonly page: "unknown" };

export function routeOf(path: string): Route {
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length === 0) return { page: "executions" };
  if (parts.length === 1 && (parts[0] === "playground" || parts[0] === "project" || parts[0] === "audit")) return { page: parts[0] };
  if (parts.length === 2 && parts[0] === "executions") {
    const id = decoded(parts[1]!);
    if (id !== null) return { page: "execution", id };
  }
  if (parts.length === 4 && parts[0] === "executions" && parts[2] === "compare") {
    const [a, b] = [decoded(parts[1]!), decoded(parts[3]!)];
    if (a !== null && b !== null) return { page: "comparison", a, b };
  }
  return { page: "unknown" };
}

export function executionPath(id: string): string {
  return `/executions/${encodeURIComponent(id)}`;
}

export function comparisonPath(a: string, b: string): string {
  return `${executionPath(a)}/compare/${encodeURIComponent(b)}`;
}

/** The execution that a pasted id, path or address names; null if it names none. */
export function executionIn(pasted: string): string | null {
  const trimmed = pasted.trim();
  if (!trimmed.includes("/")) return trimmed === "" ? null : trimmed;
  if (!URL.canParse(trimmed, "http://site")) return null;
  const route = routeOf(new URL(trimmed, "http://site").pathname);
  return route.page === "execution" ? route.id : null;
}

let shown: (route: Route) => void = () => {};

/** As a link to the path would. */
export function goTo(path: string): void {
  history.pushState(null, "", path);
  window.scrollTo(0, 0);
  shown(routeOf(location.pathname));
}

/** Follows same-origin links without reloading; whoever wants a new tab gets one. */
export function startRouter(show: (route: Route) => void): void {
  shown = show;
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest("a");
    if (!link || link.origin !== location.origin || link.hasAttribute("download") || link.target === "_blank") return;
    event.preventDefault();
    if (link.href !== location.href) history.pushState(null, "", link.href);
    window.scrollTo(0, 0);
    show(routeOf(location.pathname));
  });
  window.addEventListener("popstate", () => show(routeOf(location.pathname)));
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
