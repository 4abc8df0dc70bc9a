// Getting sessions, and which URLs may be talked to.

import { base64url } from "./base64url.js";
import { keep, kept } from "./local-storage.js";
import type { Session, SessionSource } from "./types.js";

/** A means of getting sessions. */
export interface SessionProvider {
  /** Whether a second call may give another session. */
  renewable: boolean;
  get(): Promise<Session>;
}

/** Longer than this nothing is waited for, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 30_000;

const LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"];
const INSTALL_KEY = "stepseal.install";

/**
 * `url` as one that recordings may be sent to.
 * @throws TypeError if it is no URL, or one whose traffic others can read
 */
export function secureUrl(url: string | URL, base: string | URL | undefined = globalThis.location?.href): URL {
  const parsed = new URL(url, base);
  const isLocal = parsed.protocol === "http:" && LOCAL_HOSTS.includes(parsed.hostname);
  if (parsed.protocol !== "https:" && !isLocal) {
    throw new TypeError(`stepseal: ${parsed.origin} is refused: only https:, or http: to localhost`);
  }
  return parsed;
}

/**
 * What `source` means.
 * @throws TypeError if it is none of the forms of {@link SessionSource}
 */
export function sessionProvider(source: SessionSource, endpoint: URL): SessionProvider {
  if (typeof source === "function") return { renewable: true, get: async () => source() };
  if (typeof source === "string" || source instanceof URL) {
    const url = secureUrl(source);
    return { renewable: true, get: () => post(url, undefined) };
  }
  if (source && "publishableKey" in source) {
    const url = endpointUrl(endpoint, "v1/sessions");
    const { publishableKey: publishable_key, turnstile } = source;
    const get = async (): Promise<Session> => post(url, JSON.stringify({ publishable_key, install: installId(), turnstile: await turnstile?.() }));
    return { renewable: true, get };
  }
  if (typeof source?.token === "string" && typeof source.key === "string") {
    return { renewable: false, get: async () => source };
  }
  throw new TypeError("stepseal: `session` must be a session, a URL, a function or { publishableKey }");
}

/**
 * Whom a session is for, and then whose recordings it may continue: a line each.
 * @throws if the token holds no claims
 */
export function ownersOf(token: string): string {
  const [, project, , claims] = token.split(".");
  const { sub, was = [] } = JSON.parse(atob(claims!.replace(/-/g, "+").replace(/_/g, "/")));
  return [sub, ...was].map((subject) => `${project} ${encodeURIComponent(subject)}`).join("\n");
}

/** `path` below the endpoint, which may have a path of its own. */
export function endpointUrl(endpoint: URL, path: string): URL {
  return new URL(path, `${endpoint.origin}${endpoint.pathname.replace(/\/*$/, "/")}`);
}

async function post(url: URL, body: string | undefined): Promise<Session> {
  const response = await fetch(url, {
    method: "POST",
    body,
    // text/plain needs no preflight.
    headers: body ? { "content-type": "text/plain" } : undefined,
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${url.pathname} answered ${response.status}`);
  return response.json();
}

/** This browser's random name, by which its anonymous sessions belong together. Without storage it is a new one each time. */
function installId(): string {
  const known = kept(INSTALL_KEY);
  if (known && /^[\w-]{22}$/.test(known)) return known;
  const fresh = base64url(crypto.getRandomValues(new Uint8Array(16)));
  keep(INSTALL_KEY, fresh);
  return fresh;
}

/** Forgets this browser's name; the next session that needs one makes another. */
export function forgetInstall(): void {
  keep(INSTALL_KEY);
}
