// What happens under a seed: acts in their order. The same seed always gives the same plan.

import { FAIR, type Weather } from "../fixtures/faulty-proxy.ts";
import { Random } from "./random.ts";

const DAY_MS = 86_400_000;
const TABS_MAX = 3;
/** A browser's store that is full holds so many bytes. */
const SMALL_QUOTA = 2_000_000;

export type Act =
  | { do: "open"; tab: number; denied: boolean; clock_ms: number }
  | { do: "record"; tab: number; slot: number; steps: number; bytes: number }
  /** A step that never ends. */
  | { do: "begin"; tab: number; slot: number }
  | { do: "end"; tab: number; slot: number; failed: boolean }
  /** The tab's process ends at once. */
  | { do: "kill"; tab: number }
  | { do: "close"; tab: number }
  | { do: "reload"; tab: number; resumes: boolean }
  /** The page's clock is set, while it runs. */
  | { do: "clock"; tab: number; clock_ms: number }
  | { do: "service worker"; slot: number; steps: number; bytes: number; ends: boolean }
  | { do: "weather"; weather: Weather }
  /** Tabs have no network for a while. */
  | { do: "offline"; ms: number }
  | { do: "restart" };

export type Plan = {
  seed: number;
  /** The bytes that the browser's store may take, if they are few. */
  quota: number | undefined;
  acts: { after_ms: number; act: Act }[];
};

type Tab = { tab: number; slots: Set<number> };

/** Draws acts that make sense one after another: only tabs that are open act. */
class Planner {
  readonly #random: Random;
  readonly #isFull: boolean;
  readonly #hasServiceWorker: boolean;
  #tabs: Tab[] = [];
  #opened = 0;
  #slots = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#isFull = seed % 10 === 7;
    this.#hasServiceWorker = this.#random.chance(0.4);
  }

  plan(seed: number): Plan {
    const acts: Plan["acts"] = [];
    const add = (act: Act, after_ms = this.#random.between(20, 500)) => acts.push({ after_ms, act });
    add({ do: "weather", weather: this.#weather() }, 0);
    add(this.#open(), 0);
    const count = this.#random.between(14, 22);
    for (let index = 0; index < count; index++) add(this.#next());
    return { seed, quota: this.#isFull ? SMALL_QUOTA : undefined, acts };
  }

  #next(): Act {
    const random = this.#random;
    const tab = this.#tabs.length ? random.pick(this.#tabs) : undefined;
    if (!tab || (this.#tabs.length < TABS_MAX && random.chance(0.12))) return this.#open();
    const draw = random.fraction();
    if (draw < 0.42) return this.#record(tab);
    if (draw < 0.5) return this.#end(tab);
    if (draw < 0.55) return { do: "begin", tab: tab.tab, slot: this.#slot(tab) };
    if (draw < 0.64) return this.#leave("kill", tab);
    if (draw < 0.69) return this.#leave("close", tab);
    if (draw < 0.75) return this.#reload(tab);
    if (draw < 0.8) return { do: "clock", tab: tab.tab, clock_ms: this.#clock() };
    if (draw < 0.88) return { do: "weather", weather: this.#weather() };
    if (draw < 0.92) return { do: "offline", ms: random.between(200, 1_500) };
    if (draw < 0.94) return { do: "restart" };
    if (!this.#hasServiceWorker) return this.#record(tab);
    return { do: "service worker", slot: random.between(0, 1), steps: random.between(1, 20), bytes: this.#bytes(), ends: random.chance(0.5) };
  }

  #open(): Act {
    const tab = { tab: this.#opened++, slots: new Set<number>() };
    this.#tabs.push(tab);
    return { do: "open", tab: tab.tab, denied: this.#random.chance(0.1), clock_ms: this.#random.chance(0.3) ? this.#clock() : 0 };
  }

  #record(tab: Tab): Act {
    return { do: "record", tab: tab.tab, slot: this.#slot(tab), steps: this.#random.between(1, this.#isFull ? 30 : 60), bytes: this.#bytes() };
  }

  #end(tab: Tab): Act {
    const slot = this.#slot(tab);
    tab.slots.delete(slot);
    return { do: "end", tab: tab.tab, slot, failed: this.#random.chance(0.3) };
  }

  #leave(how: "kill" | "close", tab: Tab): Act {
    this.#tabs = this.#tabs.filter((other) => other !== tab);
    return { do: how, tab: tab.tab };
  }

  #reload(tab: Tab): Act {
    tab.slots.clear();
    return { do: "reload", tab: tab.tab, resumes: this.#random.chance(0.5) };
  }

  /** One of the executions that the tab records, or another. */
  #slot(tab: Tab): number {
    const slot = tab.slots.size && this.#random.chance(0.7) ? this.#random.pick([...tab.slots]) : this.#slots++;
    tab.slots.add(slot);
    return slot;
  }

  #bytes(): number {
    return this.#isFull ? this.#random.between(5_000, 30_000) : this.#random.pick([20, 200, 2_000]);
  }

  #clock(): number {
    return this.#random.pick([-DAY_MS, DAY_MS, this.#random.between(-DAY_MS, DAY_MS)]);
  }

  #weather(): Weather {
    const random = this.#random;
    if (random.chance(0.15)) return { ...FAIR, offline: true };
    if (random.chance(0.2)) return { ...FAIR, latency_ms: [0, 300] };
    return { offline: false, refused: random.pick([0, 20, 60]), replyLost: random.pick([0, 15, 30]), twice: random.pick([0, 10]), latency_ms: [0, random.pick([0, 50, 200])] };
  }
}

export const planOf = (seed: number): Plan => new Planner(seed).plan(seed);
