// Drives the core: gives it the clock, does what it asks, tells it what came of it.

import { Core, type Attempt, type Reply, RENEW_SESSION, SEND } from "./core.js";
import { endpointUrl, REQUEST_TIMEOUT_MS, type SessionProvider } from "./session.js";
import type { Counts, RecorderStatus } from "./types.js";

/** So often steps that run are looked for, to be announced so that others can see them run, in milliseconds. */
const ANNOUNCE_EVERY_MS = 1_000;
/** Younger ones are left for the next time: most will have ended by then. */
const ANNOUNCE_AFTER_MS = 500;

/** A step that has not ended. */
export interface RunningStep {
  /** `performance.now()` when it began. */
  readonly startedAt: number;
  /** Records that it has begun. Once is enough. */
  announce(): void;
}

/** One recorder's machinery. Nothing here throws. */
export class Engine {
  /** Not undefined unless the core is missing or has failed. */
  #core: Core | undefined;
  readonly #provider: SessionProvider;
  readonly #url: URL;
  readonly #flushes = new Set<() => void>();
  readonly #unannounced = new Set<RunningStep>();
  readonly #stopListening: () => void;
  #state: RecorderStatus["state"] = "recording";
  #lastError: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #announceTimer: ReturnType<typeof setTimeout> | undefined;
  #isPumpDue = false;
  /** From `pagehide` to `pageshow`. */
  #isLeaving = false;
  /** Attempts that outlive the page, but whose answers do not reach it. */
  readonly #unanswered: [attempt: number, reply: Reply][] = [];
  /** Events recorded while there was no core to count them, or none that could be asked. */
  #uncounted: Record<string, number> = {};

  constructor(core: Core | undefined, endpoint: URL, provider: SessionProvider) {
    this.#core = core;
    this.#url = endpointUrl(endpoint, "v1/batches");
    this.#provider = provider;
    this.#stopListening = watchPage({
      hidden: () => this.#sendAtExit(),
      leaving: () => {
        this.#isLeaving = true;
        this.#sendAtExit();
      },
      back: () => this.#comeBack(),
    });
    if (core) this.#pumpSoon();
  }

  /** A writer's handle, or -1 if `execution` is no execution id or nothing is recorded. */
  open(execution: string): number {
    return this.#ask(-1, (core) => core.open(execution));
  }

  /** Records one event; `fields` is the text of its JSON object. */
  record(handle: number, event: number, fields: string): void {
    if (this.#state !== "recording") return this.#countUnrecorded(`recorder_${this.#state}`);
    if (this.#ask(false, (core) => core.record(handle, event, fields))) this.#pumpSoon();
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
    const mark = this.#ask(0, (core) => core.flush());
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#flushes.delete(check);
        resolve(this.counts());
      };
      // Unlike the recorder's other timers this one keeps Node running: somebody waits.
      const timer = setTimeout(finish, timeoutMs);
      const check = (): void => {
        if (this.#ask(true, (core) => core.settled(mark))) finish();
      };
      this.#flushes.add(check);
      this.#pump();
    });
  }

  counts(): Counts {
    const counts = this.#ask({ stored: 0, rejected: 0, dropped: 0, pending: 0, reasons: {} as Counts["reasons"] }, (core) => ({
      stored: core.count(0),
      rejected: core.count(1),
      dropped: core.count(2),
      pending: core.count(3),
      reasons: core.reasons(),
    }));
    for (const [reason, count] of Object.entries(this.#uncounted)) {
      counts.dropped += count;
      counts.reasons[reason] = (counts.reasons[reason] ?? 0) + count;
    }
    return counts;
  }

  status(): RecorderStatus {
    return { state: this.#state, last_error: this.#lastError, ...this.counts() };
  }

  close(): void {
    if (this.#state === "recording") this.#state = "closed";
    this.#stopListening();
    clearTimeout(this.#announceTimer);
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
    queueMicrotask(() => this.#pump());
  }

  /** Does what the core asks until it asks for nothing more. */
  #pump(): void {
    this.#isPumpDue = false;
    clearTimeout(this.#timer);
    for (;;) {
      const next = this.#ask(-Infinity, (core) => core.next());
      if (next === SEND) this.#send();
      else if (next === RENEW_SESSION) void this.#renewSession();
      else {
        if (next >= 0) this.#timer = later(next, () => this.#pump());
        break;
      }
    }
    for (const check of this.#flushes) check();
  }

  #send(): void {
    const attempt = this.#ask(undefined, (core) => core.attempt());
    if (!attempt) return;
    void send(this.#url, attempt).then((reply) => {
      // Chromium fails a keepalive request towards the page that it outlives, and delivers it all the same.
      if (this.#isLeaving && attempt.keepalive && reply.status === 0) this.#unanswered.push([attempt.id, reply]);
      else this.#settle(attempt.id, reply);
    });
  }

  #settle(attempt: number, reply: Reply): void {
    if (reply.status !== 200) this.#note(`batch not stored: ${reply.status || "no reply"} ${reply.code}`);
    this.#ask(undefined, (core) => core.settle(attempt, reply));
    this.#pump();
  }

  async #renewSession(): Promise<void> {
    let accepted = false;
    try {
      const { token, key, expires_at, server_time } = await this.#provider.get();
      accepted = this.#ask(false, (core) => core.session(token, key, expires_at, server_time ?? -1));
      if (!accepted) this.#note("session unusable");
    } catch (error) {
      this.#note(`session: ${error instanceof Error ? error.message : error}`);
    }
    if (!accepted) this.#ask(undefined, (core) => core.renewalFailed());
    this.#pump();
  }

  /** Everything synchronously: what is not begun when this returns may never be. */
  #sendAtExit(): void {
    this.#announceAll(() => true);
    while (this.#ask(false, (core) => core.nextAtExit())) this.#send();
  }

  /** The page was kept and is shown again: what it never heard of has failed, as far as it knows. */
  #comeBack(): void {
    this.#isLeaving = false;
    for (const [attempt, reply] of this.#unanswered.splice(0)) this.#settle(attempt, reply);
  }

  #announceSteps(): void {
    this.#announceTimer = undefined;
    const before = performance.now() - ANNOUNCE_AFTER_MS;
    this.#announceAll((step) => step.startedAt <= before);
    if (this.#unannounced.size) this.#announceTimer = later(ANNOUNCE_EVERY_MS, () => this.#announceSteps());
  }

  #announceAll(isDue: (step: RunningStep) => boolean): void {
    for (const step of this.#unannounced) {
      if (!isDue(step)) continue;
      this.#unannounced.delete(step);
      step.announce();
    }
  }

  /** Asks the core. A core that traps is a bug of ours: it is asked nothing more, and the host goes on. */
  #ask<T>(otherwise: T, question: (core: Core) => T): T {
    if (!this.#core) return otherwise;
    try {
      return question(this.#core);
    } catch (error) {
      this.fail(error);
      return otherwise;
    }
  }

  #countUnrecorded(reason: string): void {
    this.#uncounted[reason] = (this.#uncounted[reason] ?? 0) + 1;
  }

  #note(error: unknown): void {
    this.#lastError = String(error);
  }
}

async function send(url: URL, attempt: Attempt): Promise<Reply> {
  const sentAt = performance.now();
  const reply = { status: 0, code: "", server_time: -1, retry_after_ms: -1, rejected: 0, reasons: [], stored_sha256: "", round_trip_ms: 0 };
  try {
    const response = await fetch(url, {
      method: "POST",
      body: attempt.request,
      keepalive: attempt.keepalive,
      headers: { "content-type": "text/plain" },
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const round_trip_ms = performance.now() - sentAt;
    const body = readJson(await response.text());
    return { ...reply, ...readBody(body), status: response.status, round_trip_ms, retry_after_ms: retryAfterMs(response, body) };
  } catch {
    return reply;
  }
}

/** Something between us and the server may answer with a page of its own. */
function readJson(text: string): ReplyBody {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** The reply's members, of which none is believed to have its type. */
interface ReplyBody {
  code?: unknown;
  server_time?: unknown;
  rejected?: unknown;
  verdicts?: unknown;
  stored?: { sha256?: unknown } | null;
  retry_after_s?: unknown;
  stop_until?: unknown;
}

function readBody(body: ReplyBody): Partial<Reply> {
  const verdicts: { reason?: unknown }[] = Array.isArray(body.verdicts) ? body.verdicts : [];
  return {
    code: String(body.code ?? "").split("\n", 1)[0]!,
    server_time: Number(body.server_time ?? -1),
    rejected: Number(body.rejected ?? 0),
    reasons: verdicts.map((verdict) => String(verdict?.reason)),
    stored_sha256: String(body.stored?.sha256 ?? ""),
  };
}

/** The longest of the times that the server asks to be left alone, or -1. */
function retryAfterMs(response: Response, body: ReplyBody): number {
  const header = response.headers.get("retry-after") ?? "";
  const asked = [
    /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now(),
    Number(body.retry_after_s) * 1_000,
    Number(body.stop_until) - Number(body.server_time),
  ];
  return Math.max(-1, ...asked.filter((ms) => ms >= 0));
}

/** A timer that does not keep Node running. */
function later(ms: number, run: () => void): ReturnType<typeof setTimeout> {
  // Longer waits overflow the timer's 32 bits; waking early does no harm.
  const timer = setTimeout(run, Math.min(ms, 2 ** 30));
  (timer as { unref?(): void }).unref?.();
  return timer;
}

/** What a page goes through, as far as it matters here. */
interface PageWatch {
  hidden(): void;
  leaving(): void;
  back(): void;
}

/**
 * Calls back when the page may be about to end. `pagehide` and `pageshow` reach the window; `visibilitychange`
 * reaches the document, by way of the window. Captured, so as to come before the page's own listeners: between two
 * listeners promises settle.
 */
function watchPage(watch: PageWatch): () => void {
  if (typeof document === "undefined") return () => {};
  const changed = (): void => {
    if (document.visibilityState === "hidden") watch.hidden();
  };
  const listen = (change: typeof addEventListener): void => {
    change("pagehide", watch.leaving, true);
    change("pageshow", watch.back, true);
    change("visibilitychange", changed, true);
  };
  listen(addEventListener);
  return () => listen(removeEventListener);
}
