// Compares what was recorded with what the API says is stored. Every event number has exactly one fate: stored once, covered by
// exactly one drop, or in a client's count of drops.
//
// What may be lost without an account, and why:
// - what a killed process had recorded and its browser's store had not confirmed: nothing of it survives anywhere;
// - what a recorder held in memory, because storage was denied or had no more room, when its page went: it said so
//   (`status.storage`), and the verdict shows it.
// A store that is full drops with the reason `queue_full`; each such event is counted, by a `drop` at its number or by the client.
// Two things follow from it that the ledger knows by name:
// - a batch may be dropped although the server has it, if its reply was lost and nothing else could go: the first fate that
//   applies is that it is stored (`storedAfterAll`);
// - a recorder that goes on in memory sends what it has emptied, and the store keeps the contents for the next page, whose
//   batch the server refuses (`batch_conflict`): the emptied one was first.

import type { Api } from "../client/api.ts";

/** What is known of one recorder: a page from load to unload, or a service worker. */
export type Instance = {
  /** Names of the steps it has recorded, as far as it could tell. */
  recorded: Set<string>;
  /** How it ended: it went on to the end and sent all, left in order, or was killed. */
  end: "running" | "flushed" | "left" | "killed";
  storage: "durable" | "memory";
  dropped: number;
  reasons: Record<string, number>;
};

export type Recordings = {
  /** Steps that a browser's store has confirmed. */
  confirmed: Set<string>;
  instances: Map<string, Instance>;
  /** Who wrote to an execution. */
  writers: Map<string, Set<string>>;
};

export type Tally = { executions: number; events: number; steps: number; drops: number; clientDrops: number; lost: number; missing: number; storedAfterAll: number };

type Range = { writer: string; from: number; to: number };
type Verification = {
  verdict: string; tail_unknown: boolean; missing: Range[]; dropped: (Range & { count: number; reason: string })[];
  batches: { writer: string; k: number; n: number; count: number; verdict: string }[];
};

/** Whether this step must be in the store, or counted as dropped. */
function mustArrive(recordings: Recordings, instance: Instance, name: string, isFull: boolean): boolean {
  if (instance.end === "flushed" || recordings.confirmed.has(name)) return true;
  return instance.end === "left" && instance.storage === "durable" && !isFull;
}

/** Checks everything that one seed recorded; gives what is wrong, and the figures. */
export async function audit(viewer: Api, recordings: Recordings, isFull: boolean): Promise<{ faults: string[]; tally: Tally }> {
  const faults: string[] = [];
  const tally: Tally = { executions: 0, events: 0, steps: 0, drops: 0, clientDrops: 0, lost: 0, missing: 0, storedAfterAll: 0 };
  const stored = new Map<string, number>();
  for (const instance of recordings.instances.values()) {
    tally.clientDrops += instance.dropped;
    const odd = Object.keys(instance.reasons).filter((reason) => !(isFull && (reason === "queue_full" || reason === "batch_conflict")));
    if (odd.length) faults.push(`dropped because of ${odd.join(", ")}`);
  }
  for (const [id, writers] of recordings.writers) {
    const verification = await verify(viewer, id);
    if (!verification) continue;
    tally.executions += 1;
    const mayMiss = [...writers].some((writer) => {
      const { storage, end } = recordings.instances.get(writer)!;
      return storage === "memory" && end !== "flushed";
    });
    const { faults: odd, storedAfterAll } = examine(verification, mayMiss || (isFull && tally.clientDrops > 0), isFull);
    faults.push(...odd.map((fault) => `${id}: ${fault}`));
    tally.storedAfterAll += storedAfterAll;
    tally.events += verification.batches.reduce((sum, batch) => sum + batch.count, 0);
    tally.drops += verification.dropped.reduce((sum, drop) => sum + drop.count, 0);
    tally.missing += verification.missing.reduce((sum, { from, to }) => sum + to - from + 1, 0);
    for (const { name, status } of await viewer.all(`/v1/executions/${id}/steps?limit=200`, "steps")) {
      if (status !== "running") stored.set(name, (stored.get(name) ?? 0) + 1);
    }
  }
  tally.steps = stored.size;
  for (const [name, count] of stored) if (count > 1) faults.push(`${name} is stored ${count} times`);
  const recorded = [...recordings.instances.values()].flatMap((instance) => [...instance.recorded].map((name) => ({ name, instance })));
  const absent = recorded.filter(({ name }) => !stored.has(name));
  tally.lost = absent.length;
  const unaccounted = absent.filter(({ name, instance }) => mustArrive(recordings, instance, name, isFull));
  // Each of a seed's drops accounts for one event, wherever it is counted.
  if (unaccounted.length > (isFull ? Math.max(tally.drops, tally.clientDrops) : 0)) {
    faults.push(`${unaccounted.length} steps are nowhere: ${unaccounted.slice(0, 5).map(({ name, instance }) => `${name} (${instance.end}, ${instance.storage})`).join(", ")} …`);
  }
  return { faults, tally };
}

/** Nothing if the execution is not in the store. */
async function verify(viewer: Api, id: string): Promise<Verification | undefined> {
  let whole: Verification | undefined;
  let cursor: string | null = null;
  do {
    const { status, json }: { status: number; json: any } = await viewer.get(`/v1/executions/${id}/verify?limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    if (status === 404) return undefined;
    if (status !== 200) throw new Error(`verifying ${id}: ${status} ${JSON.stringify(json)}`);
    const { batches = [], missing = [], dropped = [] } = whole ?? {};
    whole = { ...json, batches: [...batches, ...json.batches], missing: [...missing, ...json.missing], dropped: [...dropped, ...json.dropped] } as Verification;
    cursor = json.next_cursor;
  } while (cursor);
  return whole;
}

/** Looks at one execution: its verdict, and how many fates each number has. */
function examine(verification: Verification, mayMiss: boolean, isFull: boolean): { faults: string[]; storedAfterAll: number } {
  const faults: string[] = [];
  const { verdict, batches, missing, dropped, tail_unknown } = verification;
  if (verdict !== "verified" && !(verdict === "incomplete" && mayMiss)) {
    faults.push(`${verdict}, missing ${JSON.stringify(missing)}, ${tail_unknown ? "without" : "with"} an end, batches ${JSON.stringify(batches.map(({ writer, k, n, count, verdict }) => [writer, k, n, count, verdict]))}`);
  }
  const stored = new Map<string, number>();
  const drops = new Map<string, number>();
  const add = (fates: Map<string, number>, writer: string, n: number) => fates.set(`${writer} ${n}`, (fates.get(`${writer} ${n}`) ?? 0) + 1);
  for (const { writer, n, count } of batches) for (let at = n; at < n + count; at++) add(stored, writer, at);
  for (const { writer, from, to, count } of dropped) {
    if (to - from + 1 !== count) faults.push(`a drop counts ${count} for ${from} to ${to}`);
    // One that stands at the number it drops is that number's fate, and is counted as stored already.
    if (from === to && stored.has(`${writer} ${from}`)) continue;
    for (let at = from; at <= to; at++) add(drops, writer, at);
  }
  for (const [number, count] of [...stored, ...drops]) if (count > 1) faults.push(`event ${number} has ${count} fates of a kind`);
  const both = [...drops.keys()].filter((number) => stored.has(number));
  if (both.length && !isFull) faults.push(`dropped and stored: ${both.join(", ")}`);
  return { faults, storedAfterAll: both.length };
}
