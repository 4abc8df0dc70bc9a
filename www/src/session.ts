/**
 * Who reads. A pasted key is exchanged once for a cookie that no script can
 * read; what this page holds is who it is and the token that its writes carry
 * (`csrf`). This module is the only one that knows so.
 */

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

/** The reply of `/v1/sign-in`. */
export interface SignedIn {
  readonly signed_in: boolean;
  readonly role?: Role;
  readonly csrf?: string;
}

let current: SignedIn = { signed_in: false };

/** Takes over what the server said of the cookie. */
export function adoptSession(answer: SignedIn): void {
  current = answer;
}

export function isSignedIn(): boolean {
  return current.signed_in;
}

export function role(): Role | null {
  return current.role ?? null;
}

/** Ends the session in this page. `reason` is null if the reader asked for it. */
export function endSession(reason: string | null = null): void {
  current = { signed_in: false };
  endListener(reason);
}

export function onSessionEnd(listener: EndListener): void {
  endListener = listener;
}

/** Makes a request to this origin one of the reader's: the cookie rides along, writes carry the token. */
export function authorize(request: RequestInit): RequestInit {
  const headers = new Headers(request.headers);
  if (current.csrf !== undefined) headers.set("stepseal-csrf", current.csrf);
  return { ...request, headers, credentials: "same-origin" };
}
