/**
 * Who reads: an API key, kept for this tab only (`sessionStorage` is neither
 * shared with other tabs nor kept when this one closes) and sent as a Bearer
 * credential, never in a URL. This module is the only one that knows so.
 */

const STORED_KEY = "stepseal.key";
const KEY_FORM = /^stepseal_(viewer|admin)_[0-9a-f]{40}$/;

export type Role = "viewer" | "admin";

type EndListener = (reason: string | null) => void;
let endListener: EndListener = () => {};

/** What is wrong with a pasted key, or null: caught here, a slip costs no failed attempt at the server. */
export function keyFault(key: string): string | null {
  if (KEY_FORM.test(key)) return null;
  if (key === "") return "Paste a key first.";
  if (/^stepseal_ingest_/.test(key)) return "This is an ingest key: it can write executions but not read them. Use a viewer or admin key.";
  if (/^stepseal_operator_/.test(key)) return "This is the operator key, which creates projects. Use the viewer or admin key of a project.";
  if (/^stepseal_pub_/.test(key)) return "This is the publishable key, which belongs into pages. Use a viewer or admin key.";
  if (/^whsec_/.test(key)) return "This is a project secret, which belongs on your backend only. Use a viewer or admin key.";
  if (/^stepseal_(viewer|admin)_/.test(key)) return "This key is cut short or altered: after the prefix it has 40 characters, 0–9 and a–f.";
  return "This is no Stepseal key. A key begins with stepseal_viewer_ or stepseal_admin_.";
}

export function beginSession(key: string): void {
  sessionStorage.setItem(STORED_KEY, key);
}

export function isSignedIn(): boolean {
  return sessionStorage.getItem(STORED_KEY) !== null;
}

export function role(): Role | null {
  const found = KEY_FORM.exec(sessionStorage.getItem(STORED_KEY) ?? "");
  return found ? (found[1] as Role) : null;
}

/** Ends the session. `reason` is null if the reader asked for it. */
export function endSession(reason: string | null = null): void {
  sessionStorage.removeItem(STORED_KEY);
  endListener(reason);
}

export function onSessionEnd(listener: EndListener): void {
  endListener = listener;
}

/** Adds the reader's credential to a request to this origin; `key` is given only to try it before a session begins. */
export function authorize(request: RequestInit, key: string | null = sessionStorage.getItem(STORED_KEY)): RequestInit {
  const headers = new Headers(request.headers);
  if (key !== null) headers.set("authorization", `Bearer ${key}`);
  return { ...request, headers, credentials: "omit" };
}
