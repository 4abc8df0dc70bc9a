// The wasm core: loading it, and passing texts and bytes over its boundary (sdk-wasm/src/exports.rs).

import type { WasmSource } from "./types.js";

/** The exports of sdk-wasm/src/exports.rs. */
interface Exports {
  memory: WebAssembly.Memory;
  input(len: number): number;
  start(eventsMax: number, bytesMax: number, waitMaxMs: number, page: number, renewable: number): void;
  open(len: number): number;
  record(handle: number, event: number, len: number, now: number): number;
  flush(): number;
  settled(mark: number): number;
  session(len: number, expiresAt: number, serverTime: number, now: number, wall: number): number;
  renewal_failed(now: number): void;
  next(now: number, wall: number): number;
  next_at_exit(now: number, wall: number): number;
  attempt_id(): number;
  attempt_keepalive(): number;
  attempt_request(): number;
  attempt_len(): number;
  attempt_taken(): void;
  settle(
    attempt: number,
    len: number,
    status: number,
    serverTime: number,
    retryAfterMs: number,
    rejected: number,
    roundTrip: number,
    now: number,
    wall: number,
  ): void;
  count(fate: number): number;
  reason(index: number): number;
  reason_count(index: number): number;
  output(): number;
}

/** What `next` answers beside a time to wait. */
export const SEND = -1;
export const RENEW_SESSION = -2;

/** The event types, by their numbers in the core. */
export const EVENT = { start: 0, open: 2, step: 3, log: 4, score: 5, end: 6 } as const;

/** Longer texts are not even passed to the core, which counts them as too large. In UTF-16 units. */
const TEXT_MAX = 1 << 24;

/** A sealed batch to be sent. */
export interface Attempt {
  id: number;
  keepalive: boolean;
  request: Uint8Array<ArrayBuffer>;
}

/** What came of an attempt. Times that are not known are -1. */
export interface Reply {
  status: number;
  code: string;
  server_time: number;
  retry_after_ms: number;
  rejected: number;
  reasons: string[];
  stored_sha256: string;
  round_trip_ms: number;
}

/** The recorder's core: decides everything, sees no clock and no network. */
export class Core {
  readonly #wasm: Exports;
  readonly #encoder = new TextEncoder();

  constructor(instance: WebAssembly.Instance) {
    this.#wasm = instance.exports as unknown as Exports;
  }

  start(eventsMax: number, bytesMax: number, waitMaxMs: number, page: boolean, renewable: boolean): void {
    const at = this.#wasm.input(32);
    crypto.getRandomValues(new Uint8Array(this.#wasm.memory.buffer, at, 32));
    this.#wasm.start(eventsMax, bytesMax, waitMaxMs, +page, +renewable);
  }

  open(execution: string): number {
    return this.#wasm.open(this.#pass(execution));
  }

  record(handle: number, event: number, fields: string): boolean {
    return this.#wasm.record(handle, event, this.#pass(fields), performance.now()) !== 0;
  }

  flush(): number {
    return this.#wasm.flush();
  }

  settled(mark: number): boolean {
    return this.#wasm.settled(mark) !== 0;
  }

  /** Whether the session can be used. */
  session(token: string, key: string, expiresAt: number, serverTime: number): boolean {
    const len = this.#pass(atob(key) + token, true);
    return this.#wasm.session(len, expiresAt, serverTime, performance.now(), Date.now()) !== 0;
  }

  renewalFailed(): void {
    this.#wasm.renewal_failed(performance.now());
  }

  next(): number {
    return this.#wasm.next(performance.now(), Date.now());
  }

  nextAtExit(): boolean {
    return this.#wasm.next_at_exit(performance.now(), Date.now()) !== 0;
  }

  /** Takes over the attempt that `next` or `nextAtExit` has made ready. */
  attempt(): Attempt {
    const wasm = this.#wasm;
    const attempt = {
      id: wasm.attempt_id(),
      keepalive: wasm.attempt_keepalive() !== 0,
      request: new Uint8Array(wasm.memory.buffer as ArrayBuffer, wasm.attempt_request(), wasm.attempt_len()).slice(),
    };
    wasm.attempt_taken();
    return attempt;
  }

  settle(attempt: number, reply: Reply): void {
    const len = this.#pass([reply.code, reply.stored_sha256, ...reply.reasons].join("\n"));
    this.#wasm.settle(
      attempt,
      len,
      reply.status,
      reply.server_time,
      reply.retry_after_ms,
      reply.rejected,
      reply.round_trip_ms,
      performance.now(),
      Date.now(),
    );
  }

  /** 0 stored, 1 rejected, 2 dropped, 3 pending. */
  count(fate: number): number {
    return this.#wasm.count(fate);
  }

  reasons(): Record<string, number> {
    const reasons: Record<string, number> = {};
    for (let index = 0, len; (len = this.#wasm.reason(index)); index++) {
      const name = new Uint8Array(this.#wasm.memory.buffer, this.#wasm.output(), len);
      reasons[String.fromCharCode(...name)] = this.#wasm.reason_count(index);
    }
    return reasons;
  }

  /** Writes `text` where the next call reads it: as UTF-8, or a byte each unit. Gives its length in bytes. */
  #pass(text: string, bytes = false): number {
    if (text.length > TEXT_MAX) return 0;
    // A UTF-16 unit takes at most three bytes.
    const room = text.length * 3;
    const at = this.#wasm.input(room);
    const into = new Uint8Array(this.#wasm.memory.buffer, at, room);
    if (!bytes) return this.#encoder.encodeInto(text, into).written;
    for (let index = 0; index < text.length; index++) into[index] = text.charCodeAt(index);
    return text.length;
  }
}

/** Compiles and instantiates the core. */
export async function loadCore(source: WasmSource | Promise<WasmSource> | undefined): Promise<Core> {
  const given = (await source) ?? new URL("./stepseal_bg.wasm", import.meta.url);
  const module = given instanceof WebAssembly.Module ? given : await WebAssembly.compile(await read(given as Unread));
  return new Core(await WebAssembly.instantiate(module));
}

/** A {@link WasmSource} that is not compiled yet. */
type Unread = URL | string | Response | BufferSource;

async function read(source: Unread): Promise<BufferSource> {
  if (source instanceof URL || typeof source === "string") {
    const url = new URL(source, globalThis.location?.href);
    const bytes = url.protocol === "file:" && readFile(url);
    return bytes || read(await fetch(url));
  }
  if (!(source instanceof Response)) return source;
  if (!source.ok) throw new Error(`${source.url} answered ${source.status}`);
  return source.arrayBuffer();
}

/** Node's fetch reads no files. Asked for at run time, so that no bundler for the page looks for `node:fs`. */
function readFile(url: URL): BufferSource | undefined {
  const node = (globalThis as { process?: { getBuiltinModule?(name: string): { readFileSync(url: URL): BufferSource } } }).process;
  return node?.getBuiltinModule?.("node:fs").readFileSync(url);
}
