/**
 * The HTTP API as this dashboard uses it: typed replies, problem documents as
 * errors. Who asks is `session.ts`'s matter; what is shown, the pages'.
 */

import { adoptSession, authorize, endSession, type SignedIn } from "./session.ts";

export type ExecutionStatus = "running" | "waiting" | "completed" | "failed" | "cancelled" | "abandoned";

/** Exclusive buckets: they add up. */
export interface Usage {
  readonly input?: number;
  readonly cache_read?: number;
  readonly cache_write?: number;
  readonly output?: number;
  readonly reasoning?: number;
}

export interface Execution {
  readonly id: string;
  readonly name: string | null;
  readonly agent: string | null;
  readonly pipeline: string | null;
  readonly user: string | null;
  readonly session: string | null;
  readonly environment: string | null;
  readonly release: string | null;
  readonly tags: readonly string[];
  readonly status: ExecutionStatus;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly duration_ms: number | null;
  readonly events: number;
  readonly steps: number;
  readonly error_steps: number;
  readonly models: readonly string[];
  readonly tools: readonly string[];
  readonly usage: Usage;
  readonly cost_usd: number | null;
  /** What of the cost comes from the project's prices, because no step said it. */
  readonly derived_cost_usd?: number;
  readonly price_versions?: { readonly first: number; readonly last: number } | null;
  readonly completeness: "complete" | "incomplete" | "open";
  readonly subject: string | null;
  readonly provenance: "backend" | "origin" | "server";
  readonly received_at: number;
  readonly updated_at: number;
}

/** What a session or a key thought of an execution. */
export interface Score {
  readonly name: string | null;
  readonly value: unknown;
  readonly comment: string | null;
  readonly source: string | null;
}

export interface ExecutionDetail extends Execution {
  readonly scores?: readonly Score[];
  readonly more_scores?: boolean;
  readonly metadata?: unknown;
  readonly input?: unknown;
  readonly output?: unknown;
  readonly error?: unknown;
  readonly writers: readonly { readonly writer: string; readonly batches: number; readonly events: number }[];
}

/** A recorded step. The page that recorded it chose its fields, so each is checked where it is shown. */
export interface Step {
  readonly id?: unknown;
  readonly kind?: unknown;
  readonly name?: unknown;
  readonly at?: unknown;
  readonly duration_ms?: unknown;
  readonly status?: unknown;
  readonly parent?: unknown;
  readonly input?: unknown;
  readonly output?: unknown;
  readonly reasoning?: unknown;
  readonly error?: unknown;
  readonly model?: unknown;
  readonly provider?: unknown;
  readonly usage?: unknown;
  readonly cost_usd?: unknown;
  readonly derived_cost_usd?: unknown;
  readonly price_version?: unknown;
  readonly ttft_ms?: unknown;
  readonly tool?: unknown;
  readonly metadata?: unknown;
  readonly writer: string;
  readonly k: number;
  readonly n: number;
}

/** An execution as its comparison shows it: its own sums, whole, and how much of it was compared. */
export interface ComparedExecution {
  readonly id: string;
  readonly name: string | null;
  readonly status: ExecutionStatus;
  readonly started_at: number;
  readonly duration_ms: number | null;
  readonly ttft_ms?: number | null;
  readonly steps: number;
  readonly error_steps: number;
  readonly usage: Usage;
  readonly cost_usd: number | null;
  readonly derived_cost_usd?: number | null;
  readonly compared_steps: number;
  readonly truncated: boolean;
}

export interface ComparedSide {
  readonly id: string;
  readonly writer: string;
  readonly n: number;
  readonly at: number;
  readonly status: string;
  readonly duration_ms: number;
  readonly model: string | null;
  readonly usage: Usage;
  readonly cost_usd: number | null;
}

export type Change = "same" | "changed" | "only_a" | "only_b";

/** A member that differs. Values are the beginnings of JSON texts. */
export interface Difference {
  /** JSON Pointer. */
  readonly path: string;
  readonly change: Exclude<Change, "same">;
  readonly a: string | null;
  readonly b: string | null;
}

export interface ComparedStep {
  readonly kind: string;
  readonly name: string;
  /** Names of what it stands under, the outermost first. */
  readonly under: readonly string[];
  readonly change: Change;
  readonly a: ComparedSide | null;
  readonly b: ComparedSide | null;
  /** Of steps that are in both. */
  readonly differences?: readonly Difference[];
  readonly more_differences?: boolean;
}

export interface Comparison {
  readonly a: ComparedExecution;
  readonly b: ComparedExecution;
  readonly steps: readonly ComparedStep[];
  readonly counts: Readonly<Record<Change, number>>;
  readonly truncated: boolean;
}

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly origins: readonly string[];
  readonly publishable_key: string;
  readonly turnstile: boolean;
  readonly subject_keys: boolean;
  readonly search: "off" | "hashed" | "plain";
}

export interface ExecutionList {
  readonly executions: readonly Execution[];
  readonly next_cursor: string | null;
  readonly window: { readonly from: number | null; readonly to: number | null };
}

export interface StepList {
  readonly steps: readonly Step[];
  readonly next_cursor: string | null;
}

export type Verdict = "verified" | "tampered" | "incomplete" | "unsigned" | "key_retired" | "deleted";

export interface VerifiedBatch {
  readonly writer: string;
  readonly k: number;
  readonly batch_id: string;
  readonly n: number;
  readonly count: number;
  readonly sha256: string;
  readonly received_at: number;
  readonly provenance: string;
  /** Of one that came from a file: on the word of which log, where not on its own signature. */
  readonly imported?: { readonly at: number; readonly by: string; readonly key: string | null } | null;
  readonly verdict: Verdict;
  readonly reason: string | null;
}

export interface Verification {
  readonly execution: string;
  readonly verdict: Verdict;
  readonly tail_unknown: boolean;
  readonly batches: readonly VerifiedBatch[];
  readonly missing: readonly { readonly writer: string; readonly from: number; readonly to: number }[];
  readonly dropped: readonly {
    readonly writer: string;
    readonly from: number | null;
    readonly to: number | null;
    readonly count: number;
    readonly reason: string;
  }[];
  readonly next_cursor: string | null;
}

/** A reply other than success, in the words of its problem document. */
export class Problem extends Error {
  override readonly name = "Problem";
  /** HTTP status; 0 if no reply came. */
  readonly status: number;
  readonly code: string;
  /** Which member of the request or parameter is meant, where it is one. */
  readonly field: string | null;

  constructor(status: number, code: string, message: string, field: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.field = field;
  }
}

export const MAX_PAGE = 200;

export function readProject(signal?: AbortSignal): Promise<Project> {
  return read<Project>("/v1/project", {}, signal);
}

/** Asks who is signed in, after a reload or in a new tab. */
export async function resumeSession(): Promise<void> {
  adoptSession(await parse<SignedIn>(await send("/v1/sign-in")));
}

/** Exchanges a key for the cookie. */
export async function signIn(key: string): Promise<void> {
  adoptSession(await parse<SignedIn>(await send("/v1/sign-in", { method: "POST", body: JSON.stringify({ key }) })));
}

/** Ends the sign-in at the server, whichever way that goes also here. */
export async function signOut(): Promise<void> {
  try {
    await parse<SignedIn>(await send("/v1/sign-in", { method: "DELETE" }));
    endSession();
  } catch (error) {
    endSession(`Signed out here, but the server did not confirm it: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function listExecutions(
  query: { status?: string; name?: string; text?: string; from?: number; limit?: number; cursor?: string },
  signal?: AbortSignal,
): Promise<ExecutionList> {
  return read<ExecutionList>("/v1/executions", query, signal);
}

export function readExecution(id: string, signal?: AbortSignal): Promise<ExecutionDetail> {
  const path = `/v1/executions/${encodeURIComponent(id)}`;
  return read<{ execution: ExecutionDetail }>(path, {}, signal).then((reply) => reply.execution);
}

export function listSteps(id: string, query: { limit?: number; cursor?: string }, signal?: AbortSignal): Promise<StepList> {
  return read<StepList>(`/v1/executions/${encodeURIComponent(id)}/steps`, query, signal);
}

export function compareExecutions(a: string, b: string, signal?: AbortSignal): Promise<Comparison> {
  return read<Comparison>(`/v1/executions/${encodeURIComponent(a)}/compare/${encodeURIComponent(b)}`, {}, signal);
}

export function verifyExecution(id: string, query: { cursor?: string }, signal?: AbortSignal): Promise<Verification> {
  return read<Verification>(`/v1/executions/${encodeURIComponent(id)}/verify`, query, signal);
}

function read<T>(path: string, query: Record<string, string | number | undefined>, signal?: AbortSignal): Promise<T> {
  return ask<T>("GET", path, query, undefined, signal);
}

/** A request of whoever is signed in; a refused sign-in ends the session here too. */
export async function ask<T>(
  method: string,
  path: string,
  query: Record<string, string | number | undefined> = {},
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const search = parameters.size === 0 ? "" : `?${parameters}`;
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  try {
    return await parse<T>(await send(path + search, { method, ...content, signal: signal ?? null }));
  } catch (error) {
    if (error instanceof Problem && error.status === 401) endSession(`Signed out: ${error.message}`);
    throw error;
  }
}

async function send(path: string, request: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(path, authorize({ ...request, headers: { accept: "application/json" }, cache: "no-store" }));
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "The server did not answer. Is it running, and are you online?");
  }
}

async function parse<T>(reply: Response): Promise<T> {
  const document: unknown = await reply.json().catch(() => null);
  if (reply.ok && document !== null) return document as T;
  throw problemOf(reply, document);
}

function problemOf(reply: Response, document: unknown): Problem {
  const fields = (typeof document === "object" && document !== null ? document : {}) as Record<string, unknown>;
  const text = (name: string) => (typeof fields[name] === "string" ? fields[name] : null);
  const message = text("detail") ?? text("title") ?? `The server answered ${reply.status} without saying why.`;
  return new Problem(reply.status, text("code") ?? "unknown", message, text("field"));
}
