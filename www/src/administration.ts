/** What administrators ask of the API: the project's settings, its keys, its audit log. */

import { ask, type Project } from "./api.ts";
import type { Role } from "./session.ts";

export interface ApiKey {
  readonly id: string;
  readonly role: Role | "ingest";
  readonly name: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly revoked_at: number | null;
  readonly last_used_on: string | null;
}

/** A key in the one reply that shows it. */
export interface NewApiKey {
  readonly key: string;
  readonly id: string;
  readonly name: string;
}

export interface AuditEntry {
  readonly seq: number;
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly details: unknown;
  readonly hash: string;
}

export type AuditFault =
  | { readonly kind: "missing"; readonly from: number; readonly to: number }
  | { readonly kind: "altered" | "not_the_noted"; readonly seq: number };

export interface AuditVerification {
  readonly verdict: "verified" | "tampered";
  readonly entries: number;
  readonly faults: readonly AuditFault[];
  readonly head: { readonly seq: number; readonly hash: string };
  readonly next_cursor: string | null;
}

export function changeProject(change: { name?: string; status?: "active" | "paused"; origins?: string[]; turnstile?: boolean; subject_keys?: boolean; search?: string }): Promise<Project> {
  return ask<{ project: Project }>("PATCH", "/v1/project", {}, change).then((reply) => reply.project);
}

export function listKeys(signal: AbortSignal): Promise<readonly ApiKey[]> {
  return ask<{ keys: readonly ApiKey[] }>("GET", "/v1/project/keys", {}, undefined, signal).then((reply) => reply.keys);
}

export function createKey(wanted: { role: string; name: string; expires_at?: number }): Promise<NewApiKey> {
  return ask<NewApiKey>("POST", "/v1/project/keys", {}, wanted);
}

export function rotateKey(id: string): Promise<NewApiKey> {
  return ask<NewApiKey>("POST", `/v1/project/keys/${encodeURIComponent(id)}/rotate`);
}

export async function revokeKey(id: string): Promise<void> {
  await ask("DELETE", `/v1/project/keys/${encodeURIComponent(id)}`);
}

export type Standing = "within" | "warned" | "exhausted";

/** No limit where a value is null. */
export interface Budget {
  readonly steps: number | null;
  readonly bytes: number | null;
  readonly cost_usd: number | null;
  readonly warn_at_percent: number;
}

export interface Fates {
  readonly received: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly rejected: number;
}

export interface Usage {
  readonly month: string;
  readonly used: { readonly steps: number; readonly bytes: number; readonly cost_usd: number };
  readonly budget: Budget;
  readonly standing: Standing;
  readonly days: readonly {
    readonly day: string;
    readonly outcomes: readonly { readonly operation: string; readonly outcome: string; readonly requests: number; readonly events: number }[];
  }[];
  readonly ledger: { readonly batches: Fates; readonly events: Fates };
}

export function readUsage(signal: AbortSignal): Promise<Usage> {
  return ask<Usage>("GET", "/v1/project/usage", {}, undefined, signal);
}

export async function changeBudget(budget: Budget): Promise<void> {
  await ask("PATCH", "/v1/project", {}, { budget });
}

/** US dollars for a million tokens of each bucket. */
export interface Rates {
  readonly input: number;
  readonly cache_read: number;
  readonly cache_write: number;
  readonly output: number;
  readonly reasoning: number;
}

export interface Price {
  readonly model: string;
  readonly valid_from: number | null;
  readonly valid_until: number | null;
  readonly usd_per_million: Rates;
}

/** Version 0 is the empty table that every project begins with. */
export interface PriceTable {
  readonly version: number;
  readonly made_at: number | null;
  readonly prices: readonly Price[];
}

/** A price as it is sent: what is left out costs what it is a kind of. */
export interface WantedPrice {
  readonly model: string;
  readonly valid_from: number | null;
  readonly valid_until: number | null;
  readonly usd_per_million: Partial<Rates>;
}

export function readPrices(signal?: AbortSignal): Promise<PriceTable> {
  return ask<PriceTable>("GET", "/v1/project/prices", {}, undefined, signal);
}

/** Refused with 409 if the table is no longer at the expected version. */
export function replacePrices(expectedVersion: number, prices: readonly WantedPrice[]): Promise<PriceTable> {
  return ask<PriceTable>("PUT", "/v1/project/prices", {}, { expected_version: expectedVersion, prices });
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  readonly next_cursor: string | null;
}

export function listAudit(query: { action: string; target: string; cursor?: string }, signal: AbortSignal): Promise<AuditPage> {
  return ask<AuditPage>("GET", "/v1/audit", { ...query, limit: 50 }, undefined, signal);
}

/** Walks the whole chain, page by page, and puts the pages' findings together. */
export async function verifyAudit(signal: AbortSignal): Promise<AuditVerification> {
  let page = await ask<AuditVerification>("GET", "/v1/audit/verify", {}, undefined, signal);
  let [entries, faults] = [page.entries, [...page.faults]];
  while (page.next_cursor !== null) {
    page = await ask<AuditVerification>("GET", "/v1/audit/verify", { cursor: page.next_cursor }, undefined, signal);
    entries += page.entries;
    faults = [...faults, ...page.faults];
  }
  return { ...page, entries, faults, verdict: faults.length === 0 ? "verified" : "tampered" };
}
