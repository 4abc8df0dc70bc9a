// Drives the core: gives it the clock, does what it asks, tells it what came of it.

import { Core, type Reply, RENEW_SESSION, SEND, TAKE_TURN, YIELD_TURN } from "./core.js";
import { sha256 } from "./digest.js";
import { later } from "./later.js";
import type { Redaction } from "./redaction/redaction.js";
import type { Persistence, PersistenceHost } from "./persistence.js";
import { endpointUrl, forgetInstall, ownersOf, REQUEST_TIMEOUT_MS, type SessionProvider } from "./session.js";
import type { Counts, RecorderStatus } from "./types.js";

/** So often steps that run are looked for, to be announced so that others can see them run, in milliseconds. */
const ANNOUNCE_EVERY_MS = 1_000;
/** Younger ones are left for the next time: most will have ended by then. */
const ANNOUNCE_AFTER_MS = 500;

/** Smaller batches fit into one packet as they are, in bytes. */
const PACK_MIN = 1_024;
/** A batch that is not packed by then goes out as it is, in milliseconds. */
const PACK_MAX_MS = 1_000;

/** Whether a batch is hashed elsewhere than on this thread, or cannot be: an insecure context has no `crypto.subtle`. */
const HASHING = { none: 0, underWay: 1, impossible: 2 } as const;

/** A step that has not ended. */
export interface RunningStep {
  /** `performance.now()` when it began. */
  readonly startedAt: number;
  /** Records that it has begun. Once is enough. */
  announce(): void;
}

/** Shorter waits than this are not worth telling the next page about, in milliseconds. */
const HOLD_NOTED_MS = 1_000;

/** One recorder's machinery. Nothing here throws. */
export class Engine implements PersistenceHost {
  /** Not undefined unless the core is missing or has failed. */
  #core: Core | undefined;
  /** The part of all executions that is recorded. */
  sampled = 1;
  /** What every event passes before anything keeps it. */
  readonly redaction: Redaction;
  readonly #provider: SessionProvider;
  readonly #url: URL;
  readonly #changed: () => void;
  #persistence: Persistence | undefined;
  readonly #flushes = new Set<() => void>();
  readonly #unannounced = new Set<RunningStep>();
  readonly #closed = new AbortController();
  #state: RecorderStatus["state"] = "recording";
  #lastError: string | null = null;
  /** The status as it was told last; none while nobody wants to be told, lest every page pay for it. */
  #lastStatus: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #announceTimer: ReturnType<typeof setTimeout> | undefined;
  #isPumpDue = false;
  #hashing: number = HASHING.none;
  /** From `pagehide` to `pageshow`. */
  #isLeaving = false;
  /** Attempts that outlive the page, but whose answers do not reach it. */
  readonly #unanswered: [attempt: number, reply: Reply][] = [];
  /** Attempts whose bodies are being packed, and how to send them as they are. */
  readonly #packing = new Map<number, () => void>();
  /** Ends the requests under way. */
  #requests = new AbortController();
  /** Events recorded while there was no core to count them, or none that could be asked. */
  #uncounted: Record<string, number> = {};

  /** `changed` is called when the {@link status} has changed. */
  constructor(core: Core | undefined, endpoint: URL, provider: SessionProvider, redaction: Redaction, changed: () => void) {
    this.#core = core;
    this.redaction = redaction;
    this.#url = endpointUrl(endpoint, "v1/batches");
    this.#provider = provider;
    this.#changed = changed;
    this.#watchPage();
  }

  /** Begins to send; with `persistence`, what is recorded outlives the page. */
  start(persistence: Persistence | undefined): void {
    this.#persistence = persistence;
    void persistence?.open().then(() => this.#state === "no_consent" && this.#clearStore());
    this.#pumpSoon();
  }

  /** A writer's handle, or -1 if `execution` is no execution id or nothing is recorded. */
  open(execution: string, role: number): number {
    return this.#state === "recording" ? (this.ask((core) => core.sdk_open(core.pass(execution), role)) ?? -1) : -1;
  }

  /** The weight of an execution in statistics. */
  rate(handle: number): number {
    return this.ask((core) => core.sdk_held(handle)) ? 0 : this.sampled;
  }

  /** The execution ends: whether it is wanted, where that was to be decided now. */
  decide(handle: number, isWanted: boolean): void {
    this.ask((core) => core.sdk_decide(handle, isWanted));
  }

  /** The writer ends, the execution does not. */
  leave(handle: number): void {
    this.ask((core) => core.sdk_leave(handle));
    this.#pumpSoon();
  }

  /** Records one event; `fields` is the text of its JSON object. */
  record(handle: number, event: number, fields: string): void {
    if (this.#state !== "recording") return this.#countUnrecorded(`recorder_${this.#state}`);
    if (this.ask((core) => core.sdk_record(handle, event, core.pass(fields)))) this.#pumpSoon();
  }

  /** Without consent nothing is recorded, and nothing recorded is kept. */
  consent(given: boolean): void {
    if (given && this.#state === "no_consent") this.#state = "recording";
    if (given || this.#state !== "recording") return this.pump();
    this.#state = "no_consent";
    this.#requests.abort();
    this.#requests = new AbortController();
    this.#unannounced.clear();
    this.ask((core) => core.sdk_purge(core.pass("consent_withdrawn")));
    forgetInstall();
    this.#clearStore();
    this.pump();
  }

  #clearStore(): void {
    void this.#persistence?.clear().catch((error: unknown) => this.#note(error));
  }

  stepStarted(step: RunningStep): void {
    this.#unannounced.add(step);
    this.#announceTimer ??= later(ANNOUNCE_EVERY_MS, () => this.#announceSteps());
  }

  stepEnded(step: RunningStep): void {
    this.#unannounced.delete(step);
  }

  /** Sends all there is; resolves when it has its fate, nothing more can happen, or time is up. */
  flush(timeoutMs: number): Promise<Counts> {
    const mark = this.ask((core) => core.sdk_flush()) ?? 0;
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#flushes.delete(check);
        resolve(this.counts());
      };
      // Unlike the recorder's other timers this one keeps Node running: somebody waits.
      const timer = setTimeout(finish, timeoutMs);
      const check = (): void => {
        if (this.ask((core) => core.sdk_settled(mark)) ?? true) finish();
      };
      this.#flushes.add(check);
      this.pump();
    });
  }

  counts(): Counts {
    const counts = this.ask((core) => core.fates()) ?? { stored: 0, rejected: 0, dropped: 0, pending: 0, reasons: {} };
    for (const [reason, count] of Object.entries(this.#uncounted)) {
      counts.dropped += count;
      counts.reasons[reason] = (counts.reasons[reason] ?? 0) + count;
    }
    return counts;
  }

  status(): RecorderStatus {
    return { state: this.#state, storage: this.#persistence ? "durable" : "memory", last_error: this.#lastError, ...this.counts() };
  }

  /** From now on somebody wants to be told of changes. */
  watch(): void {
    this.#lastStatus ??= JSON.stringify(this.status());
  }

  isAwaited(): boolean {
    return this.#flushes.size > 0;
  }

  lost(error: unknown): void {
    this.#persistence = undefined;
    this.#note(error, "storage: ");
  }

  close(): void {
    if (this.#state !== "unavailable") this.#state = "closed";
    this.#closed.abort();
    clearTimeout(this.#announceTimer);
    this.#persistence?.close();
    this.#tellStatus();
  }

  /** Notes that nothing can be recorded. */
  fail(error: unknown): void {
    this.#core = undefined;
    this.#state = "unavailable";
    this.#note(error);
  }

  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => this.pump());
  }

  /** Does what the core asks until it asks for nothing more. */
  pump(): void {
    this.#isPumpDue = false;
    clearTimeout(this.#timer);
    for (;;) {
      const next = this.#state === "no_consent" ? -Infinity : (this.ask((core) => core.sdk_next()) ?? -Infinity);
      if (next === SEND) {
        this.#send(true);
        // A request takes the page's thread a millisecond: one a task.
        this.#timer = later(0, () => this.pump());
        break;
      }
      if (next === RENEW_SESSION) void this.#renewSession();
      else if (next === TAKE_TURN) void this.#persistence?.takeTurn();
      else if (next === YIELD_TURN) this.#persistence?.yieldTurn();
      else {
        if (next >= 0) this.#timer = later(next, () => this.pump());
        break;
      }
    }
    if (!this.#hash()) this.#persistence?.save();
    for (const check of this.#flushes) check();
    this.#tellStatus();
  }

  /**
   * Has a batch hashed elsewhere than on this thread; says whether that is under way. What is saved before it is done the core must
   * hash itself.
   */
  #hash(): boolean {
    const next = this.#hashing === HASHING.none && this.ask((core) => core.unhashed());
    if (next) {
      const [key, body] = next;
      this.#hashing = HASHING.underWay;
      const take = (digest: string): void => {
        this.#hashing = HASHING.none;
        this.ask((core) => core.sdk_unhashed() === key && core.sdk_hashed(core.pass(digest)));
      };
      const fail = (): void => void (this.#hashing = HASHING.impossible);
      void sha256(body).then(take, fail).then(() => {
        this.#persistence?.save();
        this.pump();
      });
    }
    return this.#hashing === HASHING.underWay;
  }

  #tellStatus(): void {
    const last = this.#lastStatus;
    if (last === undefined) return;
    this.#lastStatus = JSON.stringify(this.status());
    if (this.#lastStatus !== last) this.#changed();
  }

  /** Sends the attempt that the core has made ready: as gzip where there is time for that and it pays. */
  #send(hasTime: boolean): void {
    const attempt = this.ask((core) => core.attempt());
    if (!attempt) return;
    const { id, keepalive, body } = attempt;
    const go = (packed = body): void => {
      if (!this.#packing.delete(id)) return;
      clearTimeout(timer);
      const request = this.ask((core) => core.seal(id, packed.length < body.length ? packed : body));
      if (!request) return this.#pumpSoon();
      void send(this.#url, request, keepalive, this.#requests.signal).then((reply) => {
        // Chromium fails a keepalive request towards the page that it outlives, and delivers it all the same.
        if (this.#isLeaving && keepalive && !reply[0]) this.#unanswered.push([id, reply]);
        else this.#settle(id, reply);
      });
    };
    const timer = later(PACK_MAX_MS, go);
    this.#packing.set(id, go);
    if (hasTime && body.length >= PACK_MIN) gzip(body).then(go, () => go());
    else go();
  }

  #settle(attempt: number, reply: Reply): void {
    const [status, says, , retry_after_ms] = reply;
    if (status !== 200) this.#note(`batch not stored: ${status || "no reply"} ${says.split("\n", 1)[0]}`);
    if (retry_after_ms >= HOLD_NOTED_MS) this.#persistence?.held(retry_after_ms);
    this.ask((core) => core.settle(attempt, reply));
    this.pump();
  }

  async #renewSession(): Promise<void> {
    let accepted: boolean | undefined;
    try {
      const { token, key, expires_at, server_time } = await this.#provider.get();
      const owners = ownersOf(token);
      accepted = this.ask((core) => core.session(token, key, owners, expires_at, server_time ?? -1));
      if (accepted) this.#persistence?.signedIn(owners.split("\n", 1)[0]!);
      else this.#note("session unusable");
    } catch (error) {
      this.#note(error, "session: ");
    }
    if (!accepted) this.ask((core) => core.sdk_renewal_failed());
    this.pump();
  }

  /** Everything synchronously: what is not begun when this returns may never be. */
  #sendAtExit(): void {
    this.#announce(Infinity);
    this.ask((core) => core.sdk_flush());
    this.#persistence?.spill();
    for (const go of this.#packing.values()) go();
    while (this.ask((core) => core.sdk_next_at_exit())) this.#send(false);
  }

  /**
   * Acts when the page may be about to end. `pagehide` and `pageshow` reach the window; `visibilitychange`
   * reaches the document, by way of the window. Captured, so as to come before the page's own listeners: between two
   * listeners promises settle.
   */
  #watchPage(): void {
    if (typeof document === "undefined") return;
    const on = (type: string, listener: (isKept: boolean) => unknown): void =>
      addEventListener(type, (event) => listener((event as PageTransitionEvent).persisted), { capture: true, signal: this.#closed.signal });
    on("pagehide", (isKept) => {
      this.#isLeaving = true;
      this.#sendAtExit();
      this.#persistence?.leave(isKept);
    });
    on("pageshow", (isKept) => isKept && this.#comeBack());
    on("visibilitychange", () => document.visibilityState === "hidden" && this.#sendAtExit());
  }

  /** The page was kept and is shown again: what it never heard of has failed, as far as it knows. */
  #comeBack(): void {
    this.#isLeaving = false;
    void this.#persistence?.comeBack();
    for (const [attempt, reply] of this.#unanswered.splice(0)) this.#settle(attempt, reply);
  }

  #announceSteps(): void {
    this.#announceTimer = undefined;
    this.#announce(performance.now() - ANNOUNCE_AFTER_MS);
    if (this.#unannounced.size) this.#announceTimer = later(ANNOUNCE_EVERY_MS, () => this.#announceSteps());
  }

  /** Announces the steps that have begun by then. */
  #announce(begun: number): void {
    for (const step of this.#unannounced) {
      if (step.startedAt > begun) continue;
      this.#unannounced.delete(step);
      step.announce();
    }
  }

  /** Asks the core. A core that traps is a bug of ours: it is asked nothing more, and the host goes on. */
  ask<T>(question: (core: Core) => T): T | undefined {
    try {
      this.#core?.time();
      return this.#core && question(this.#core);
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  #countUnrecorded(reason: string): void {
    this.#uncounted[reason] = (this.#uncounted[reason] ?? 0) + 1;
  }

  #note(error: unknown, where = ""): void {
    this.#lastError = where && error instanceof Error ? where + error.message : where + error;
  }
}

/** Fails where there is no `CompressionStream`. */
async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Response(new Response(bytes).body!.pipeThrough(new CompressionStream("gzip")));
  return new Uint8Array(await packed.arrayBuffer());
}

const NO_REPLY: Reply = [0, "", -1, -1, 0, 0];

async function send(url: URL, body: BodyInit, keepalive: boolean, ended: AbortSignal): Promise<Reply> {
  const sentAt = performance.now();
  try {
    const response = await fetch(url, {
      method: "POST",
      body,
      keepalive,
      headers: { "content-type": "text/plain" },
      credentials: "omit",
      // Not "error", which workerd refuses: a redirect is an answer that says nothing of the batch.
      redirect: "manual",
      signal: withTimeout(ended),
    });
    const round_trip_ms = performance.now() - sentAt;
    const answer = readJson(await response.text());
    const { code, server_time, rejected = 0, verdicts } = answer;
    const reasons = Array.isArray(verdicts) ? verdicts.map((verdict?: { reason?: unknown }) => String(verdict?.reason)) : [];
    const says = [String(code ?? "").split("\n", 1)[0], ...reasons].join("\n");
    return [response.status, says, server_time ?? -1, retryAfterMs(response, answer), rejected, round_trip_ms];
  } catch {
    return NO_REPLY;
  }
}

/** `AbortSignal.any` is younger than the browsers that are supported. */
function withTimeout(ended: AbortSignal): AbortSignal {
  const request = new AbortController();
  const abort = (): void => request.abort();
  ended.addEventListener("abort", abort, { signal: request.signal });
  later(REQUEST_TIMEOUT_MS, abort);
  return request.signal;
}

/** Something between us and the server may answer with a page of its own. */
function readJson(text: string): ReplyBody {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** The reply's members, of which none is believed to have its type: what should be a number is used as one, be it NaN. */
interface ReplyBody {
  code?: unknown;
  server_time?: number | null;
  rejected?: number;
  verdicts?: unknown;
  retry_after_s?: number;
  stop_until?: number;
}

/** The longest of the times that the server asks to be left alone, or -1. */
function retryAfterMs(response: Response, body: ReplyBody): number {
  const header = response.headers.get("retry-after") ?? "";
  const asked = [
    Number(header) * 1_000 || Date.parse(header) - Date.now(),
    body.retry_after_s! * 1_000,
    body.stop_until! - body.server_time!,
  ];
  return Math.max(-1, ...asked.filter((ms) => ms >= 0));
}
