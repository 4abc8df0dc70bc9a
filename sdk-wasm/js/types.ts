/** What a host passes to the recorder and gets back. Times are Unix milliseconds, durations milliseconds. */

/** A short-lived permission to record, made by `mintSession` of `stepseal/server` or by the endpoint itself. */
export interface Session {
  /** Public claims; sent with every batch. */
  token: string;
  /** Base64 of the 32 bytes that sign batches. Never sent. */
  key: string;
  /** When the session ends, by the clock of whoever made it. */
  expires_at: number;
  /** That clock's reading when it was made. */
  server_time?: number;
}

/** What the worker mints sessions for, for pages of the project's origins. */
export interface PublishableKey {
  publishableKey: string;
  /** A token of a solved Turnstile challenge, fresh for each call, where the project asks for one. */
  turnstile?: () => string | Promise<string>;
}

/**
 * Where sessions come from: one that is used until it ends; a URL that is POSTed to and answers one as JSON; a
 * function that gets one; or the project's publishable key, with which the endpoint makes them.
 */
export type SessionSource = Session | string | URL | (() => Session | Promise<Session>) | PublishableKey;

/** The core's WebAssembly, where the default (the file beside this module) cannot be reached. */
export type WasmSource = URL | string | Response | Bytes | WasmModule;

/** Not `BufferSource`, a name that only the DOM's types have. */
export type Bytes = ArrayBuffer | ArrayBufferView;

/** `WebAssembly.Module`, where the types of WebAssembly are known; Node's types lack them. */
export type WasmModule = typeof globalThis extends { WebAssembly: { Module: { prototype: infer Module } } } ? Module : object;

/** How {@link Recorder.start} works. */
export interface RecorderOptions {
  /** Base URL of the Stepseal worker. `http:` is accepted only for `localhost`, `127.0.0.1` and `[::1]`. */
  endpoint: string | URL;
  session: SessionSource;
  wasm?: WasmSource | Promise<WasmSource>;
  /**
   * Where events wait until the server has them: `durable`, the default, is IndexedDB, so that they outlive the page;
   * where that is denied, or with `memory`, they live as long as the page. {@link RecorderStatus.storage} says which it is.
   */
  storage?: "durable" | "memory";
  /** Which executions are recorded. Default: all. */
  sample?: {
    /** The part that is recorded, 0 to 1, chosen by the executions' ids, so that every page and worker chooses alike. */
    rate: number;
    /**
     * Records the others too, keeps them back until they end, and sends those that failed or whose page died. One
     * that grows beyond 1 MiB meanwhile is sent. Default false.
     */
    keep_failures?: boolean;
  };
  /** What must not leave the page, made by `rules` of `stepseal/redaction`. Default: secrets, e-mail addresses and card numbers. */
  redaction?: RedactionRules;
  /** False: nothing is recorded until {@link Recorder.consent}. Default true. */
  consent?: boolean;
  batch?: {
    /** Most events of a batch: 1 to 1,000, default 200. */
    max_events?: number;
    /** Most bytes of a batch as sent: up to 60,000, the default. A larger event travels alone. */
    max_bytes?: number;
    /** How long an event waits for company, default 1,000 ms. */
    max_wait_ms?: number;
  };
}

/** What is looked for in every recorded text. All but `phone` and `ip` are on by default. */
export type RedactionKind =
  | "api_key"
  | "private_key"
  | "jwt"
  | "authorization"
  | "connection_string"
  | "secret"
  | "email"
  | "card"
  | "phone"
  | "ip";

/**
 * What must not leave the page. What is taken out is marked by its kind and by eight hex digits, which are the same for
 * equal values of one execution.
 *
 * Paths begin at an event's fields: `input.user.email`, `$.input.messages[*].content`, `metadata.*`, `**.ssn`. A step is a
 * member's name or an element's number, `*` is any one step, `**` any number of them, none included.
 */
export interface RedactionOptions {
  /** Turns kinds on and off. */
  kinds?: Partial<Record<RedactionKind, boolean>>;
  /** What lies here is taken out, whatever it is. */
  deny?: string[];
  /** What lies here is looked at by no kind and no pattern. `deny` and `content` hold inside it. */
  allow?: string[];
  /** Further kinds. A pattern that backtracks without bound does so in the page. */
  patterns?: { kind: string; pattern: RegExp }[];
  /** `none` keeps structure alone: what an event is and is called, when it was, how it ended and what it cost. */
  content?: "all" | "none";
  /**
   * Sees each event before all else here, as plain data that is its own: it may change it, return another, or return `null`
   * to have it dropped. Of a start or an end the structure stays. An event for which it throws is dropped.
   */
  hook?: (event: RedactableEvent) => object | null | undefined | void;
}

/** Rules as a recorder takes them. */
export interface RedactionRules {
  readonly kinds: Partial<Record<RedactionKind, boolean>>;
}

/** An event's fields, and its type. */
export interface RedactableEvent {
  type: "start" | "state" | "open" | "step" | "log" | "score" | "end";
  [field: string]: unknown;
}

/** How many events have met which fate since the recorder began, those included that it found from earlier pages. Each event has exactly one. */
export interface Counts {
  /** The server has them for good. */
  stored: number;
  /** The server has them, but they are malformed and count for nothing. */
  rejected: number;
  /** They are lost. */
  dropped: number;
  /** They wait to be sent or answered. */
  pending: number;
  /** Why events were rejected or dropped: the server's `code`, or `too_large`, `queue_full`, `execution_ended`, … */
  reasons: Record<string, number>;
}

/** The recorder as it is now. */
export interface RecorderStatus extends Counts {
  /** `unavailable`: the core could not be loaded or has failed; nothing is recorded. */
  state: "recording" | "closed" | "unavailable" | "no_consent";
  /** Whether what is pending outlives the page. */
  storage: "durable" | "memory";
  /** What went wrong last, for a developer's eyes; `null` while nothing has. */
  last_error: string | null;
}

/** What a step does. */
export type StepKind =
  | "llm"
  | "tool"
  | "retrieval"
  | "embedding"
  | "agent"
  | "chain"
  | "decision"
  | "guardrail"
  | "evaluator"
  | "custom";

/** How a step ended. */
export type StepStatus = "ok" | "error" | "cancelled";

/** How an execution stands. */
export type ExecutionStatus = "running" | "completed" | "failed" | "cancelled";

/** Tokens in exclusive buckets: none is part of another. */
export interface Usage {
  input?: number;
  cache_read?: number;
  cache_write?: number;
  output?: number;
  reasoning?: number;
}

/** An error as it is recorded. */
export interface RecordedError {
  type: string;
  message: string;
  stack?: string;
}

/** What {@link Recorder.startExecution} takes. */
export interface ExecutionOptions {
  name: string;
  agent?: string;
  pipeline?: string;
  /** Whose execution it is. */
  user?: string;
  /** The conversation it belongs to. */
  session?: string;
  environment?: string;
  release?: string;
  tags?: string[];
  metadata?: Record<string, unknown>;
  /** The execution, and the step in it, that caused this one. */
  parent?: { execution: string; step?: string };
  input?: unknown;
  /** 16 to 64 letters, digits, `_` and `-`, unique in the project. Default: `run_` and a random trace id. */
  id?: string;
  /** When it began, default now. */
  at?: number;
}

/** What is known of a step when it begins. */
export interface StepOptions {
  kind: StepKind;
  name: string;
  /** Any value. A list of chat messages, or an object with one under `messages`, is sent as what is new in it. */
  input?: unknown;
  model?: string;
  provider?: string;
  metadata?: Record<string, unknown>;
  /** Default: a random span id of 16 hex digits. */
  id?: string;
  /** When it began, default now. */
  at?: number;
}

/** What is known of a step when it has ended. */
export interface StepResult {
  output?: unknown;
  /** The model's reasoning, where it shows any. */
  reasoning?: unknown;
  usage?: Usage;
  cost_usd?: number;
  /** Time to the first token. */
  ttft_ms?: number;
  /** The tool that ran and the id of the model's call of it. */
  tool?: { name: string; call_id?: string };
  model?: string;
  provider?: string;
  /** Added to the metadata given at the start. */
  metadata?: Record<string, unknown>;
}

/** A whole step, for those who have it ready. */
export interface StepRecord extends StepOptions, StepResult {
  /** Default `ok`, or `error` if there is an `error`. */
  status?: StepStatus;
  duration_ms?: number;
  error?: unknown;
  /** Id of the step it is part of. */
  parent?: string;
}

/** A step as {@link Execution.getSnapshot} gives it: as it was recorded. */
export interface StepSnapshot {
  id: string;
  kind: StepKind;
  name: string;
  at: number;
  status: StepStatus | "running";
  duration_ms?: number;
  parent?: string;
  input?: unknown;
  output?: unknown;
  reasoning?: unknown;
  error?: RecordedError;
  model?: string;
  provider?: string;
  usage?: Usage;
  cost_usd?: number;
  ttft_ms?: number;
  tool?: { name: string; call_id?: string };
  metadata?: Record<string, unknown>;
}

/** An execution so far. */
export interface ExecutionSnapshot {
  id: string;
  name: string;
  status: ExecutionStatus;
  started_at: number;
  ended_at: number | null;
  /** In the order in which they ended; then those that still run. */
  steps: StepSnapshot[];
  /** Sums over the steps, as the server forms them: `agent` and `chain` steps only wrap others and are left out. */
  usage: Required<Usage>;
  cost_usd: number;
}
