// What outlives the page: queues of events that have no fate yet.
//
// They are written to IndexedDB as they are recorded. IndexedDB finishes nothing once `pagehide` has begun, so what it has
// not confirmed by then is spilled to localStorage, which is synchronous, and merged by whoever reads the queue next.

import type { Change } from "./core.js";
import { keep, kept, keptKeys } from "./local-storage.js";

/** An entry of a queue: its key without the queue's name and slash. */
export type StoredEntry = [key: string, value: Uint8Array];

const ENTRIES = "entries";
/** Opening takes longer where another tab holds on to an older version, or on some browsers for ever. */
const OPEN_TIMEOUT_MS = 3_000;
/** A page in the back/forward cache may come back within this time; later it is taken for dead. */
const FROZEN_MAX_MS = 30 * 60_000;

/** Changes by the number of their transaction; what may be merged already is known by it. */
type Spill = [transaction: number, changes: [key: string, value: string | null][]][];

/** One endpoint's store in this browser. */
export class Store {
  readonly #database: IDBDatabase;
  readonly #name: string;

  private constructor(database: IDBDatabase, name: string, lost: () => void) {
    this.#database = database;
    this.#name = name;
    database.onversionchange = () => database.close();
    // The user has cleared the site's data.
    database.onclose = lost;
  }

  /** @throws if there is none: denied, broken, or not within {@link OPEN_TIMEOUT_MS} */
  static async open(name: string, lost: () => void): Promise<Store> {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(ENTRIES);
    const opened = done(request);
    const database = await Promise.race([opened, new Promise<undefined>((resolve) => setTimeout(resolve, OPEN_TIMEOUT_MS))]);
    if (database) return new Store(database, name, lost);
    void opened.then((late) => late.close());
    throw new Error("the database did not open in time");
  }

  /** Makes all of one transaction's changes, or none. */
  async apply(queue: string, transaction: number, changes: Change[]): Promise<unknown> {
    return this.#write((entries) => {
      for (const [key, value] of changes) value ? entries.put(value, key) : entries.delete(key);
      entries.put(transaction, queue);
    });
  }

  /** The names of all queues, those that only a spill knows of included. */
  async queues(): Promise<Set<string>> {
    const keys = await done(this.#entries("readonly").getAllKeys());
    const queues = keys.map((key) => String(key).split("/", 1)[0]!);
    return new Set([...queues, ...spilledQueues(this.#name)].filter((queue) => /^\w+$/.test(queue)));
  }

  /** All entries of a queue whose recorder is gone; its spill is merged. */
  async read(queue: string): Promise<StoredEntry[]> {
    const merged = Number(await done(this.#entries("readonly").get(queue))) || 0;
    for (const [transaction, changes] of readSpill(this.#name, queue)) {
      const encoded = changes.map(([key, value]): Change => [key, value === null ? null : new TextEncoder().encode(value)]);
      if (transaction > merged) await this.apply(queue, transaction, encoded);
    }
    keep(spillKey(this.#name, queue));
    const entries = this.#entries("readonly");
    const [keys, values] = await Promise.all([done(entries.getAllKeys(entriesOf(queue))), done(entries.getAll(entriesOf(queue)))]);
    return keys.map((key, index) => [String(key).slice(queue.length + 1), values[index]]);
  }

  /** Forgets a queue if nothing is left in it. */
  async forget(queue: string): Promise<void> {
    keep(frozenKey(this.#name, queue));
    if ((await done(this.#entries("readonly").count(entriesOf(queue)))) === 0) await this.#write((entries) => entries.delete(queue));
  }

  /** Forgets everything, the spills included. */
  async clear(): Promise<void> {
    for (const queue of spilledQueues(this.#name)) keep(spillKey(this.#name, queue));
    await this.#write((entries) => entries.clear());
  }

  /** Something that all recorders of this store share. */
  async note(name: string): Promise<unknown> {
    return done(this.#entries("readonly").get(noteKey(name)));
  }

  setNote(name: string, value: unknown): void {
    void this.#write((entries) => entries.put(value, noteKey(name))).catch(() => {});
  }

  #entries(mode: "readonly" | "readwrite"): IDBObjectStore {
    // What the operating system has taken survives the browser's processes; waiting for the disk would cost ten times as long.
    return this.#database.transaction(ENTRIES, mode, { durability: "relaxed" }).objectStore(ENTRIES);
  }

  async #write(change: (entries: IDBObjectStore) => void): Promise<void> {
    const entries = this.#entries("readwrite");
    const { transaction } = entries;
    const finished = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
    });
    change(entries);
    transaction.commit();
    return finished;
  }
}

/** Keeps changes that the store has not confirmed where they outlive the page. Synchronous; says whether it could. */
export function spill(name: string, queue: string, unsaved: [transaction: number, changes: Change[]][]): boolean {
  const decoder = new TextDecoder();
  const texts: Spill = unsaved.map(([transaction, changes]) => [transaction, changes.map(([key, value]) => [key, value && decoder.decode(value)])]);
  return keep(spillKey(name, queue), JSON.stringify(texts));
}

/** The store has confirmed them. */
export function unspill(name: string, queue: string): void {
  keep(spillKey(name, queue));
}

/** Marks a queue as one whose page may come back. */
export function freeze(name: string, queue: string): void {
  keep(frozenKey(name, queue), String(Date.now()));
}

/** Takes the mark off; says whether it was there: if not, somebody else has taken over the queue. */
export function thaw(name: string, queue: string): boolean {
  const wasFrozen = isFrozen(name, queue);
  keep(frozenKey(name, queue));
  return wasFrozen;
}

export function isFrozen(name: string, queue: string): boolean {
  return Math.abs(Date.now() - Number(kept(frozenKey(name, queue)) ?? -Infinity)) < FROZEN_MAX_MS;
}

const spillKey = (name: string, queue: string): string => `${name} spill ${queue}`;
const frozenKey = (name: string, queue: string): string => `${name} frozen ${queue}`;
/** No queue's name begins so. */
const noteKey = (name: string): string => `~${name}`;
/** "0" follows "/". */
const entriesOf = (queue: string): IDBKeyRange => IDBKeyRange.bound(`${queue}/`, `${queue}0`, false, true);

const spilledQueues = (name: string): string[] => keptKeys(spillKey(name, ""));

function readSpill(name: string, queue: string): Spill {
  try {
    return JSON.parse(kept(spillKey(name, queue))!) ?? [];
  } catch {
    return [];
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
