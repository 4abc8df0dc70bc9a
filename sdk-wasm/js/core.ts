// The wasm core: loading it, and passing texts and bytes over its boundary (sdk-wasm/src/exports.rs).

import { defaultWasm, openWasm } from "./default-wasm.js";
import type { Counts, WasmSource } from "./types.js";

/** The exports of sdk-wasm/src/exports.rs, and the memory. The build shortens their names here and there (scripts/build-sdk.mjs). */
interface Exports {
  sdk_memory: WebAssembly.Memory;
  sdk_input(len: number): number;
  sdk_output(): number;
  sdk_output_len(): number;
  sdk_time(now: number, wall: number): void;
  sdk_start(len: number, eventsMax: number, bytesMax: number, waitMaxMs: number, host: number, rate: number): void;
  sdk_open(len: number, role: number): number;
  sdk_held(handle: number): number;
  sdk_decide(handle: number, isWanted: boolean): void;
  sdk_leave(handle: number): void;
  sdk_purge(len: number): void;
  sdk_store(condition: number): void;
  sdk_changes(): number;
  sdk_saved(transaction: number): void;
  sdk_adopt(len: number): number;
  sdk_restore(keyLen: number, len: number): void;
  sdk_drained(queue: number): number;
  sdk_abandon(queue: number): void;
  sdk_hand_over(len: number): void;
  sdk_turn(isTaken: boolean): void;
  sdk_hold(ms: number): void;
  sdk_presume_owner(len: number): void;
  sdk_record(handle: number, event: number, len: number): number;
  sdk_unhashed(): number;
  sdk_hashed(len: number): void;
  sdk_flush(): number;
  sdk_settled(mark: number): number;
  sdk_session(len: number, expiresAt: number, serverTime: number): number;
  sdk_renewal_failed(): void;
  sdk_next(): number;
  sdk_next_at_exit(): number;
  sdk_attempt(): number;
  sdk_seal(attempt: number, len: number): number;
  sdk_settle(
    attempt: number,
    len: number,
    status: number,
    serverTime: number,
    retryAfterMs: number,
    rejected: number,
    roundTrip: number,
  ): void;
  sdk_fates(): void;
}

/** What `sdk_next` answers beside a time to wait. */
export const SEND = -1;
export const RENEW_SESSION = -2;
export const TAKE_TURN = -4;
export const YIELD_TURN = -5;

/** What the host is, as bits of `sdk_start`. */
export const HOST = { isPage: 1, renews: 2, stores: 4, keepsFailures: 8 } as const;

/** What a writer is to its execution: who begins it, who goes on where another has ended, who writes beside others. */
export const ROLE = { starter: 0, successor: 1, companion: 2 } as const;

/** How the store is. */
export const STORE = { absent: 0, opened: 1, full: 2 } as const;

/** What a recorder starts with. */
export interface CoreOptions {
  queue: string;
  maxEvents: number;
  maxBytes: number;
  maxWaitMs: number;
  /** Of {@link HOST}. */
  host: number;
  /** The part of all executions that is recorded, 0 to 1. */
  rate: number;
}

/** A change for the store: a key, and its value or null if it is to be deleted. */
export type Change = [key: string, value: Uint8Array<ArrayBuffer> | null];

/** The event types, by their numbers in the core. */
export const EVENT = { start: 0, state: 1, open: 2, step: 3, log: 4, score: 5, end: 6 } as const;

/** Longer texts are not even passed to the core, which counts them as too large. In UTF-16 units. */
const TEXT_MAX = 1 << 24;
/** Length of a seed and of a session's key, in bytes. */
const SECRET_LEN = 32;

/** A batch to be sealed and sent. */
export interface Attempt {
  id: number;
  keepalive: boolean;
  body: Uint8Array<ArrayBuffer>;
}

/**
 * What came of an attempt: a status, 0 if there was no reply; what the reply says, its code and the reasons of its verdicts, a line each.
 * Times that are not known are -1.
 */
export type Reply = [status: number, says: string, server_time: number, retry_after_ms: number, rejected: number, round_trip_ms: number];

/** What takes and gives but numbers is the wasm's own. */
export interface Core extends Exports {}

/** The recorder's core: decides everything, sees no clock and no network. */
export class Core {
  readonly #encoder = new TextEncoder();

  constructor(instance: WebAssembly.Instance) {
    Object.assign(this, instance.exports);
  }

  /** Tells what time it is until the next call. */
  time(): void {
    this.sdk_time(performance.now(), Date.now());
  }

  start({ queue, maxEvents, maxBytes, maxWaitMs, host, rate }: CoreOptions): void {
    const len = this.pass(queue, crypto.getRandomValues(new Uint8Array(SECRET_LEN)));
    this.sdk_start(len, maxEvents, maxBytes, maxWaitMs, host, Math.round(rate * 0xffff_ffff));
  }

  /** What the store shall change, and the number under which it is saved. */
  changes(): [transaction: number, changes: Change[]] | undefined {
    const transaction = this.sdk_changes();
    if (!transaction) return undefined;
    const bytes = this.#output();
    const view = new DataView(bytes.buffer);
    const changes: Change[] = [];
    for (let at = 0; at < bytes.length; ) {
      const [keyLen, len] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
      const keyEnd = at + 8 + keyLen;
      const key = decode(bytes.subarray(at + 8, keyEnd));
      const isDeleted = len === 0xffff_ffff;
      at = isDeleted ? keyEnd : keyEnd + len;
      changes.push([key, isDeleted ? null : bytes.slice(keyEnd, at)]);
    }
    return [transaction, changes];
  }

  /** Takes over a queue with its entries, in the order of their keys; gives its number. */
  adopt(queue: string, entries: [key: string, value: Uint8Array][]): number {
    const number = this.sdk_adopt(this.pass(queue));
    for (const [key, value] of entries) this.sdk_restore(key.length, this.pass(key + decode(value)));
    return number;
  }

  /** Whether the session can be used. */
  session(token: string, key: string, owners: string, expiresAt: number, serverTime: number): boolean {
    const secret = Uint8Array.from(atob(key), (unit) => unit.charCodeAt(0));
    return secret.length === SECRET_LEN && this.sdk_session(this.pass(`${token}\n${owners}`, secret), expiresAt, serverTime) !== 0;
  }

  /** Takes over the attempt that `sdk_next` or `sdk_next_at_exit` has made ready. */
  attempt(): Attempt {
    const attempt = this.sdk_attempt();
    return { id: attempt >>> 1, keepalive: (attempt & 1) !== 0, body: this.#output() };
  }

  /** A body whose SHA-256 is wanted, and its number. */
  unhashed(): [key: number, body: Uint8Array<ArrayBuffer>] | undefined {
    const key = this.sdk_unhashed();
    return key < 0 ? undefined : [key, this.#output()];
  }

  /** The request of an attempt, whose body may have been packed, if it can still be sent. */
  seal(attempt: number, body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    return this.sdk_seal(attempt, this.pass("", body)) ? this.#output() : undefined;
  }

  settle(attempt: number, [status, says, ...numbers]: Reply): void {
    this.sdk_settle(attempt, this.pass(says), status, ...numbers);
  }

  fates(): Counts {
    this.sdk_fates();
    const [stored, rejected, dropped, pending, ...lines] = decode(this.#output()).split("\n");
    const reasons = lines.filter(Boolean).map((line) => [line.slice(line.indexOf(" ") + 1), parseInt(line)]);
    return { stored: +stored!, rejected: +rejected!, dropped: +dropped!, pending: +pending!, reasons: Object.fromEntries(reasons) };
  }

  /** Writes `text` as UTF-8 where the next call reads it, after the `secret`. Gives the length of both in bytes. */
  pass(text: string, secret?: Uint8Array): number {
    if (text.length > TEXT_MAX) return 0;
    const before = secret?.length ?? 0;
    // A UTF-16 unit takes at most three bytes.
    const room = text.length * 3;
    // First, because it may move the memory.
    const at = this.sdk_input(before + room);
    const { buffer } = this.sdk_memory;
    if (secret) new Uint8Array(buffer, at).set(secret);
    return before + this.#encoder.encodeInto(text, new Uint8Array(buffer, at + before, room)).written;
  }

  /** What the last call has made. */
  #output(): Uint8Array<ArrayBuffer> {
    const at = this.sdk_output();
    return new Uint8Array(this.sdk_memory.buffer as ArrayBuffer).slice(at, at + this.sdk_output_len());
  }
}

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Compiles and instantiates the core. */
export async function loadCore(source: WasmSource | Promise<WasmSource> | undefined): Promise<Core> {
  const given = (await source) ?? defaultWasm();
  const module = given instanceof WebAssembly.Module ? given : await WebAssembly.compile(await read(given as Unread));
  return new Core(await WebAssembly.instantiate(module));
}

/** A {@link WasmSource} that is not compiled yet. */
type Unread = URL | string | Response | BufferSource;

async function read(source: Unread): Promise<BufferSource> {
  if (source instanceof URL || typeof source === "string") return read(await openWasm(source));
  if (!(source instanceof Response)) return source;
  if (!source.ok) throw new Error(`${source.url} answered ${source.status}`);
  return source.arrayBuffer();
}
