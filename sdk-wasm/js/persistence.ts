// Keeps the recorder's queue where it outlives the page, and takes over what other pages left.
//
// A recorder holds a Web Lock on its queue while it lives; a queue whose lock is free belongs to whoever takes it. A
// second lock is the turn to send: one recorder at a time talks to the server. A held lock can keep a page out
// of the back/forward cache, so all are let go in `pagehide` and taken again in `pageshow`.

import { type Change, type Core, STORE } from "./core.js";
import { later } from "./later.js";
import { randomHex } from "./random.js";
import { freeze, isFrozen, spill, Store, thaw, unspill } from "./store.js";

/** At least so long between two writes, in milliseconds, unless somebody waits for one. */
const WRITE_EVERY_MS = 20;
/** So often the store is looked at for queues whose lock is gone, in milliseconds. */
const WATCH_EVERY_MS = 15_000;

/** What persistence needs of its recorder. */
export interface PersistenceHost {
  /** Asks the core, if it still works. */
  ask<T>(question: (core: Core) => T): T | undefined;
  /** There may be something new to do. */
  pump(): void;
  /** Whether somebody waits for what is being written. */
  isAwaited(): boolean;
  /** From now on everything lives in memory. */
  lost(error: unknown): void;
}

/** Whether this place has what persistence needs. */
export const canPersist = (): boolean => typeof indexedDB === "object" && !!globalThis.navigator?.locks;

export class Persistence {
  #queue: string;
  readonly #name: string;
  readonly #host: PersistenceHost;
  #store: Store | undefined;
  /** Whose recordings are looked for; none before there is a session. */
  #owner: string | undefined;
  #releaseQueue: Release | undefined;
  #turn: AbortController | undefined;
  #releaseTurn: Release | undefined;
  /** Queues taken over, and those that hold nothing for this session's subject. */
  readonly #adopted = new Map<string, { number: number; release: Release }>();
  readonly #foreign = new Set<string>();
  #unsaved: [transaction: number, changes: Change[]][] = [];
  #isWriting = false;
  #writtenAt = -Infinity;
  #writeTimer: ReturnType<typeof setTimeout> | undefined;
  #isSpilled = false;
  #isScanning = false;
  #watchTimer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(name: string, queue: string, host: PersistenceHost) {
    this.#name = name;
    this.#queue = queue;
    this.#host = host;
  }

  async open(): Promise<void> {
    try {
      this.#releaseQueue = await hold(this.#lockOf(this.#queue));
      const store = await Store.open(this.#name, () => this.#lose(new Error("the store was removed")));
      const [owner, noted] = await Promise.all([store.note("owner"), store.note("hold")]);
      const pause = Object(noted) as { at: number; ms: number };
      this.#store = store;
      this.#host.ask((core) => {
        core.sdk_presume_owner(core.pass(String(owner ?? "")));
        // Nothing follows from a time that a clock which was set since then gives.
        const passed = Date.now() - pause.at;
        if (passed >= 0 && passed < pause.ms) core.sdk_hold(pause.ms - passed);
        core.sdk_store(STORE.opened);
      });
      if (this.#owner !== undefined) store.setNote("owner", this.#owner);
      this.#host.pump();
      void this.#scan();
      this.#watch();
    } catch (error) {
      this.#lose(error);
    }
  }

  /** There is a session; its owner's recordings are looked for. */
  signedIn(owner: string): void {
    if (this.#owner === owner) return;
    this.#owner = owner;
    this.#foreign.clear();
    this.#store?.setNote("owner", owner);
    void this.#scan();
  }

  /** The server asks to be left alone: the next page shall know. */
  held(ms: number): void {
    this.#store?.setNote("hold", { at: Date.now(), ms });
  }

  /** Writes what the core has not saved yet, soon. */
  save(): void {
    if (!this.#store || this.#isWriting || this.#isOver) return;
    const wait = this.#writtenAt + WRITE_EVERY_MS - performance.now();
    if (wait > 0 && !this.#host.isAwaited()) {
      this.#writeTimer ??= later(wait, () => {
        this.#writeTimer = undefined;
        this.save();
      });
      return;
    }
    this.#takeChanges();
    if (this.#unsaved.length) void this.#write();
    else this.#releaseDrained();
  }

  /** Makes everything durable at once: the page may end any moment. Not for often. */
  spill(): void {
    if (this.#isOver) return;
    this.#takeChanges();
    const last = this.#unsaved.at(-1);
    if (!last || !spill(this.#name, this.#queue, this.#unsaved)) return;
    this.#isSpilled = true;
    this.#host.ask((core) => core.sdk_saved(last[0]));
  }

  async takeTurn(): Promise<void> {
    if (this.#isOver) return;
    const turn = (this.#turn = new AbortController());
    const release = await hold(this.#lockOf("turn"), { signal: turn.signal });
    if (!release) return;
    if (turn !== this.#turn) return release();
    this.#releaseTurn = release;
    this.#host.ask((core) => core.sdk_turn(true));
    this.#host.pump();
  }

  yieldTurn(): void {
    this.#releaseTurn?.();
    this.#turn?.abort();
    this.#releaseTurn = this.#turn = undefined;
  }

  /** The page goes away; it may come back if it is `kept`. */
  leave(kept: boolean): void {
    if (this.#isOver) return;
    if (kept) freeze(this.#name, this.#queue);
    this.yieldTurn();
    this.#host.ask((core) => core.sdk_turn(false));
    for (const [queue, { number, release }] of this.#adopted) {
      this.#host.ask((core) => core.sdk_abandon(number));
      this.#adopted.delete(queue);
      release();
    }
    this.#releaseQueue?.();
    this.#releaseQueue = undefined;
  }

  /** The page is back. If somebody took its queue over meanwhile, the executions ended there, and a new queue begins. */
  async comeBack(): Promise<void> {
    if (this.#isOver) return;
    const release = await hold(this.#lockOf(this.#queue), { ifAvailable: true });
    if (release && thaw(this.#name, this.#queue)) this.#releaseQueue = release;
    else {
      release?.();
      this.#queue = randomHex(8);
      this.#unsaved = [];
      this.#releaseQueue = await hold(this.#lockOf(this.#queue));
      this.#host.ask((core) => core.sdk_hand_over(core.pass(this.#queue)));
    }
    this.#host.pump();
    void this.#scan();
  }

  /** Forgets everything that any recorder keeps in this store. */
  async clear(): Promise<void> {
    this.#unsaved = [];
    unspill(this.#name, this.#queue);
    await this.#store?.clear();
  }

  /** Leaves what there is to the next recorder. */
  close(): void {
    this.leave(false);
    this.#isOver = true;
    clearTimeout(this.#watchTimer);
    clearTimeout(this.#writeTimer);
    void this.#store?.forget(this.#queue).catch(() => {});
  }

  #takeChanges(): void {
    const changes = this.#host.ask((core) => core.changes());
    if (changes) this.#unsaved.push(changes);
  }

  async #write(mayMakeRoom = true): Promise<void> {
    this.#isWriting = true;
    this.#writtenAt = performance.now();
    const transaction = this.#unsaved.at(-1)![0];
    // Each key once, its last change.
    const changes = [...new Map(this.#unsaved.flatMap(([, changes]) => changes))];
    try {
      await this.#store?.apply(this.#queue, transaction, changes);
      this.#written(transaction);
    } catch (error) {
      if (mayMakeRoom && (error as DOMException | null)?.name === "QuotaExceededError") {
        this.#host.ask((core) => core.sdk_store(STORE.full));
        this.#takeChanges();
        return this.#write(false);
      }
      // What it has of these is out of date: the next page must not send it beside what is sent from memory.
      await this.#store?.apply(this.#queue, transaction, changes.map(([key]) => [key, null])).catch(() => {});
      this.#lose(error);
    }
    this.#isWriting = false;
    this.#host.pump();
  }

  #written(transaction: number): void {
    this.#unsaved = this.#unsaved.filter(([number]) => number > transaction);
    if (this.#isSpilled && !this.#unsaved.length) {
      unspill(this.#name, this.#queue);
      this.#isSpilled = false;
    }
    this.#host.ask((core) => core.sdk_saved(transaction));
  }

  #lose(error: unknown): void {
    this.#store = undefined;
    this.#unsaved = [];
    clearTimeout(this.#watchTimer);
    this.yieldTurn();
    this.#host.ask((core) => core.sdk_store(STORE.absent));
    this.#host.lost(error);
    this.#host.pump();
  }

  #watch(): void {
    this.#watchTimer = later(WATCH_EVERY_MS, () => {
      void this.#scan();
      this.#watch();
    });
  }

  /** Takes over every queue that is nobody's and holds something for this session's subject. */
  async #scan(): Promise<void> {
    if (!this.#store || this.#owner === undefined || this.#isScanning || this.#isOver) return;
    this.#isScanning = true;
    try {
      for (const queue of await this.#store.queues()) {
        const isKnown = queue === this.#queue || this.#adopted.has(queue) || this.#foreign.has(queue);
        if (!isKnown && !isFrozen(this.#name, queue)) await this.#adopt(queue);
      }
    } catch {
      // The next look comes; what is stored stays stored.
    }
    this.#isScanning = false;
    this.#host.pump();
  }

  async #adopt(queue: string): Promise<void> {
    const release = await hold(this.#lockOf(queue), { ifAvailable: true });
    if (!release) return;
    try {
      const entries = (await this.#store?.read(queue)) ?? [];
      if (this.#isOver || !this.#releaseQueue) return release();
      const number = this.#host.ask((core) => core.adopt(queue, entries));
      this.#adopted.set(queue, { number: number ?? -1, release });
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Lets go of adopted queues of which nothing is left, or nothing that this session may send. */
  #releaseDrained(): void {
    for (const [queue, { number, release }] of this.#adopted) {
      if (!this.#host.ask((core) => core.sdk_drained(number))) continue;
      this.#adopted.delete(queue);
      this.#foreign.add(queue);
      void (this.#store?.forget(queue) ?? Promise.resolve()).catch(() => {}).then(release);
    }
  }

  #lockOf(what: string): string {
    return `${this.#name} ${what}`;
  }
}

type Release = () => void;

/** Holds a Web Lock until it is released; nothing if it is not to be had. */
function hold(name: string, options: LockOptions = {}): Promise<Release | undefined> {
  return new Promise((resolve) => {
    const held = (lock: Lock | null): Promise<void> | undefined => {
      if (lock) return new Promise<void>((release) => resolve(release));
      return void resolve(undefined);
    };
    navigator.locks.request(name, options, held).catch(() => resolve(undefined));
  });
}
