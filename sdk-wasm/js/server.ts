/**
 * For the backend: makes the short-lived sessions that pages record with. No network call; runs on Node, Deno,
 * Bun and Workers.
 * @module
 */

import type { Session } from "./types.js";

export type { Session } from "./types.js";

/** What {@link mintSession} takes. */
export interface SessionClaims {
  /** The project's id, `prj_…`. */
  project: string;
  /** The generation of the project's secret, `k1`. */
  kid: string;
  /** The project's secret, `whsec_…`. Never give it to a page. */
  project_secret: string;
  /** Who records: an opaque id of the user or install, at most 128 bytes. Not a name or an address. */
  subject: string;
  /** The only origin that may send with this session, `https://app.example.com`. Default: any. */
  origin?: string;
  /** How long it lives, in seconds: 1 to 3,600, default 900. */
  ttl_s?: number;
  /** The session's own id. Default: random. */
  session?: string;
  /** At most four earlier subjects whose executions this one may continue, such as the page's anonymous one. */
  was?: string[];
}

const TTL_MAX_S = 3_600;
const TTL_DEFAULT_S = 900;
const TOKEN_MAX = 768;
const KEY_LEN = 32;

/**
 * Makes a session: public claims, and the key that belongs to exactly these claims.
 * @throws TypeError if the claims break a limit or the secret is none
 */
export async function mintSession(claims: SessionClaims): Promise<Session> {
  const now = Date.now();
  const issuedAt = Math.floor(now / 1_000);
  const expiresAt = issuedAt + checkedTtl(claims.ttl_s);
  const text = JSON.stringify({
    v: 1,
    sub: claims.subject,
    sid: claims.session ?? `ses_${hex(crypto.getRandomValues(new Uint8Array(8)))}`,
    iat: issuedAt,
    exp: expiresAt,
    org: claims.origin,
    scp: "ingest",
    was: claims.was,
  });
  const token = checkedToken(`s1.${claims.project}.${claims.kid}.${base64url(new TextEncoder().encode(text))}`);
  const key = await sessionKey(claims.project_secret, token);
  return { token, key: base64(key), expires_at: expiresAt * 1_000, server_time: now };
}

/** `HKDF-SHA256(project_secret, info = "stepseal/session-key/v1" ‖ 0 ‖ token)`, empty salt, 32 bytes. */
async function sessionKey(secret: string, token: string): Promise<Uint8Array> {
  const material = await crypto.subtle.importKey("raw", secretBytes(secret), "HKDF", false, ["deriveBits"]);
  const info = new TextEncoder().encode(`stepseal/session-key/v1\0${token}`);
  const bits = await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info }, material, KEY_LEN * 8);
  return new Uint8Array(bits);
}

function checkedTtl(ttl = TTL_DEFAULT_S): number {
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > TTL_MAX_S) {
    throw new TypeError(`stepseal: ttl_s must be a whole number from 1 to ${TTL_MAX_S}`);
  }
  return ttl;
}

function checkedToken(token: string): string {
  if (token.length > TOKEN_MAX) throw new TypeError(`stepseal: the claims make a token longer than ${TOKEN_MAX} bytes`);
  return token;
}

function secretBytes(secret: string): Uint8Array<ArrayBuffer> {
  const encoded = /^whsec_([A-Za-z0-9+/]{43}=)$/.exec(secret)?.[1];
  if (!encoded) throw new TypeError("stepseal: project_secret must be `whsec_` and the base64 of 32 bytes");
  return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function base64url(bytes: Uint8Array): string {
  return base64(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
