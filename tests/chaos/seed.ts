// Carries out a seed's plan in a browser context of its own, lets everything settle, and audits the store.

import { setTimeout as delay } from "node:timers/promises";
import type { BrowserContext, CDPSession, Page } from "playwright-core";
import { FAIR, FaultyProxy } from "../fixtures/faulty-proxy.ts";
import { audit, type Instance, type Recordings, type Tally } from "./ledger.ts";
import { planOf, type Act, type Plan } from "./plan.ts";
import type { World } from "./world.ts";

/** How long recorders that are alive may take to send what they have, once the weather is fair. Backoff reaches a minute. */
const FLUSH_MS = 10_000;
/** How long the last page may take with all that was left: executions are ended after 10 s, queues looked for every 15. */
const DRAIN_MS = 60_000;
/** Any single thing that is asked of a page. */
const ASK_MS = 20_000;
/** A seed that takes longer hangs. */
const SEED_MS = 120_000;

export type Outcome = { seed: number; faults: string[]; tally: Tally; acts: Record<string, number>; proxy: FaultyProxy["done"] };

/** Sets the page's clock and takes its storage away, as its address says. */
function prepare(): void {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const now = Date.now;
  const clock = { offset_ms: Number(wanted.get("clock_ms") ?? 0) };
  Object.assign(globalThis, { clock });
  Date.now = () => now() + clock.offset_ms;
  if (wanted.get("denied") !== "true") return;
  IDBFactory.prototype.open = () => {
    throw new DOMException("denied", "SecurityError");
  };
}

/** Loads the actor into a page and starts its recorder. */
async function install([endpoint, session]: readonly [string, string]): Promise<{ instance: string }> {
  const [{ Recorder }, { createActor }] = await Promise.all([import("/stepseal/index.js" as string), import("/actor.js" as string)]);
  const { report } = globalThis as any;
  const act = createActor(Recorder, (told: object) => void report(told));
  Object.assign(globalThis, { act });
  return act({ act: "start", endpoint, session });
}

/** Asks the seed's service worker, which starts if it does not run. */
async function askServiceWorker([seed, message, timeout_ms]: readonly [number, object, number]): Promise<any> {
  await navigator.serviceWorker.register(`/service-worker.js?seed=${seed}`, { type: "module" });
  const { active } = await navigator.serviceWorker.ready;
  return new Promise((resolve, reject) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => resolve(data);
    setTimeout(reject, timeout_ms, new Error("the service worker does not answer"));
    active!.postMessage(message, [port2]);
  });
}

/** What the browser's store holds that is to be sent, by its keys. */
async function keysLeft(): Promise<string[]> {
  const keys: string[] = Object.keys(localStorage).filter((key) => key.includes(" spill "));
  for (const { name } of await indexedDB.databases()) {
    const request = indexedDB.open(name!);
    await new Promise((resolve) => (request.onsuccess = resolve));
    const all = request.result.transaction("entries").objectStore("entries").getAllKeys();
    await new Promise((resolve) => (all.onsuccess = resolve));
    keys.push(...all.result.map(String).filter((key) => !key.startsWith("~") && key.includes("/")));
    request.result.close();
  }
  return keys;
}

type Tab = { page: Page; instance: string; executions: string[] };

class Conductor {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #proxy: FaultyProxy;
  readonly #context: BrowserContext;
  readonly #tabs = new Map<number, Tab>();
  readonly #recordings: Recordings = { confirmed: new Set(), instances: new Map(), writers: new Map() };
  readonly #done: Record<string, number> = {};
  #serviceWorker: string | undefined;
  /** Sets the quota. */
  #devtools: CDPSession | undefined;
  /** What it is doing. */
  doing = "beginning";

  constructor(world: World, plan: Plan, proxy: FaultyProxy, context: BrowserContext) {
    this.#world = world;
    this.#plan = plan;
    this.#proxy = proxy;
    this.#context = context;
  }

  async run(): Promise<Outcome> {
    const deafen = this.#world.listen(this.#plan.seed, (told) => this.#hear(told));
    await this.#context.exposeBinding("report", (_source, told) => this.#hear(told));
    await this.#context.addInitScript(prepare);
    await this.#limitStore();
    for (const { after_ms, act } of this.#plan.acts) {
      await delay(after_ms);
      this.doing = JSON.stringify(act);
      await this.#carryOut(act);
    }
    this.doing = "settling";
    await this.#settle();
    this.doing = "draining";
    await this.#drain();
    this.doing = "auditing";
    const { faults, tally } = await audit(this.#world.viewer, this.#recordings, this.#plan.quota !== undefined);
    deafen();
    return { seed: this.#plan.seed, faults, tally, acts: this.#done, proxy: this.#proxy.done };
  }

  /** What a recorder tells of itself. */
  #hear(told: any): void {
    const instance = this.#instance(told.instance);
    if (told.execution) this.#writes(told.execution, told.instance);
    for (const name of told.recorded ?? []) instance.recorded.add(name);
    for (const name of told.confirmed ?? []) this.#recordings.confirmed.add(name);
    if (told.storage) Object.assign(instance, { storage: told.storage, dropped: told.dropped, reasons: told.reasons });
  }

  #instance(name: string): Instance {
    const { instances } = this.#recordings;
    const instance = instances.get(name) ?? { recorded: new Set(), end: "running", storage: "durable", dropped: 0, reasons: {} };
    instances.set(name, instance);
    return instance;
  }

  #writes(execution: string, instance: string): void {
    const writers = this.#recordings.writers.get(execution) ?? new Set();
    this.#recordings.writers.set(execution, writers.add(instance));
  }

  /** The page that stays open keeps the quota as it was set, and the context alive. */
  async #limitStore(): Promise<void> {
    this.#devtools = await this.#context.newCDPSession(await this.#context.newPage());
    await this.#setQuota(this.#plan.quota);
  }

  async #setQuota(quotaSize: number | undefined): Promise<void> {
    await this.#devtools?.send("Storage.overrideQuotaForOrigin", { origin: this.#world.pages.origin, ...(quotaSize && { quotaSize }) });
  }

  async #carryOut(act: Act): Promise<void> {
    this.#done[act.do] = (this.#done[act.do] ?? 0) + 1;
    switch (act.do) {
      case "open": return this.#open(act.tab, `denied=${act.denied}&clock_ms=${act.clock_ms}`);
      case "record": return this.#record(act);
      case "begin": return void (await this.#ask(act.tab, { ...act, act: "begin" }));
      case "end": return void (await this.#ask(act.tab, { ...act, act: "end" }));
      case "kill": return this.#kill(act.tab);
      case "close": return this.#close(act.tab);
      case "reload": return this.#reload(act.tab, act.resumes);
      case "clock": return void (await this.#tab(act.tab).page.evaluate((ms) => ((globalThis as any).clock.offset_ms = ms), act.clock_ms));
      case "service worker": return this.#recordInServiceWorker(act);
      case "weather": return void (this.#proxy.weather = act.weather);
      case "offline": return this.#goOffline(act.ms);
      case "restart": return this.#world.restart();
    }
  }

  #tab(number: number): Tab {
    const tab = this.#tabs.get(number);
    if (!tab) throw new Error(`seed ${this.#plan.seed}: tab ${number} is not open`);
    return tab;
  }

  #ask(tab: number, command: object): Promise<any> {
    const asked = this.#tab(tab).page.evaluate((command) => (globalThis as any).act(command), command as any);
    return inTime(asked, `tab ${tab} of seed ${this.#plan.seed}: ${JSON.stringify(command)}`);
  }

  get #session(): string {
    return `${this.#world.pages.origin}/session?seed=${this.#plan.seed}`;
  }

  async #open(number: number, hash: string): Promise<void> {
    const page = await this.#context.newPage();
    await page.goto(`${this.#world.pages.origin}/#${hash}`);
    this.#tabs.set(number, { page, executions: [], instance: "" });
    await this.#start(number);
  }

  async #start(number: number): Promise<void> {
    const tab = this.#tab(number);
    tab.instance = (await inTime(tab.page.evaluate(install, [this.#proxy.url, this.#session] as const), "a page starts")).instance;
  }

  async #record(act: Act & { do: "record" }): Promise<void> {
    const { instance, execution, names } = await this.#ask(act.tab, { ...act, act: "record" });
    this.#hear({ instance, execution, recorded: names });
    this.#tab(act.tab).executions.push(execution);
  }

  async #kill(number: number): Promise<void> {
    const { page, instance } = this.#tab(number);
    this.#instance(instance).end = "killed";
    this.#tabs.delete(number);
    const devtools = await this.#context.newCDPSession(page);
    const crashed = page.waitForEvent("crash");
    devtools.send("Page.crash").catch(() => {});
    await inTime(crashed, "a page crashes");
    await page.close();
  }

  async #close(number: number): Promise<void> {
    const { page, instance } = this.#tab(number);
    this.#instance(instance).end = "left";
    this.#tabs.delete(number);
    await inTime(Promise.all([page.waitForEvent("close"), page.close({ runBeforeUnload: true })]), "a page closes");
  }

  async #reload(number: number, resumes: boolean): Promise<void> {
    const tab = this.#tab(number);
    this.#instance(tab.instance).end = "left";
    await tab.page.reload();
    await this.#start(number);
    const execution = tab.executions.at(-1);
    if (!resumes || !execution) return;
    await this.#ask(number, { act: "resume", slot: -1, execution });
    this.#writes(execution, tab.instance);
    await this.#record({ do: "record", tab: number, slot: -1, steps: 3, bytes: 20 });
  }

  async #goOffline(ms: number): Promise<void> {
    const sessions = await Promise.all([...this.#tabs.values()].map(({ page }) => this.#context.newCDPSession(page)));
    const set = (offline: boolean) => {
      const conditions = { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
      return Promise.all(sessions.map((devtools) => devtools.send("Network.emulateNetworkConditions", conditions)));
    };
    await Promise.all(sessions.map((devtools) => devtools.send("Network.enable")));
    await set(true);
    await delay(ms);
    await set(false);
    await Promise.all(sessions.map((devtools) => devtools.detach()));
  }

  /** Asks by way of any page that is open. */
  async #askServiceWorker(command: object): Promise<any> {
    const page = [...this.#tabs.values()][0]?.page;
    if (!page) return undefined;
    const message = { command, options: { endpoint: this.#proxy.url, session: this.#session } };
    const answer = await page.evaluate(askServiceWorker, [this.#plan.seed, message, ASK_MS] as const);
    // The browser may have ended it meanwhile, with the tab whose process it shared.
    if (this.#serviceWorker && answer.instance !== this.#serviceWorker) this.#instance(this.#serviceWorker).end = "killed";
    this.#serviceWorker = answer.instance;
    return answer;
  }

  async #recordInServiceWorker({ slot, steps, bytes, ends }: Act & { do: "service worker" }): Promise<void> {
    const answer = await this.#askServiceWorker({ act: "record", slot, steps, bytes });
    if (!answer) return;
    this.#hear({ instance: answer.instance, execution: answer.execution, recorded: answer.names });
    if (ends) await this.#askServiceWorker({ act: "end", slot });
  }

  /** The weather clears, the disk has room, and who is alive sends what there is. */
  async #settle(): Promise<void> {
    this.#proxy.weather = FAIR;
    await this.#setQuota(undefined);
    const ended = (answer: any) => {
      const hasSentAll = answer.pending === 0;
      this.#instance(answer.instance).end = hasSentAll ? "flushed" : "left";
    };
    // It outlives the tabs, and keeps its executions open: somebody has to ask it to end them.
    if (this.#serviceWorker && this.#tabs.size === 0) await this.#open(-2, "");
    if (this.#serviceWorker) ended(await this.#askServiceWorker({ act: "close", timeout_ms: FLUSH_MS }));
    await Promise.all([...this.#tabs].map(async ([number, { page }]) => {
      ended(await this.#ask(number, { act: "close", timeout_ms: FLUSH_MS }));
      await page.close();
    }));
    this.#tabs.clear();
  }

  /** One more page, whose clock is right, finds and sends what all others have left. */
  async #drain(): Promise<void> {
    const number = -1;
    await this.#open(number, "");
    const { page, instance } = this.#tab(number);
    const deadline = Date.now() + DRAIN_MS;
    for (let left = await page.evaluate(keysLeft); left.length; left = await page.evaluate(keysLeft)) {
      if (Date.now() > deadline) {
        const status = await this.#ask(number, { act: "status" });
        throw new Error(`the last page has not sent everything: ${JSON.stringify(status)}; ${left.join(", ")} are left`);
      }
      await delay(250);
    }
    const { pending } = await this.#ask(number, { act: "close", timeout_ms: FLUSH_MS });
    if (pending) throw new Error(`the store is empty, and ${pending} events have no fate`);
    this.#instance(instance).end = "flushed";
    await page.close();
  }
}

async function inTime<T>(work: Promise<T>, what: string | (() => string), ms = ASK_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms / 1_000} s: ${typeof what === "string" ? what : what()}`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs one seed. What goes wrong is among its faults. So many batches are `swallowed`: answered for, and not stored. */
export async function runSeed(world: World, seed: number, { swallowed = 0 } = {}): Promise<Outcome> {
  const plan = planOf(seed);
  const proxy = await FaultyProxy.start(world.worker.url, seed);
  proxy.answers = Array.from({ length: swallowed }, () => ({ status: 200, body: '{"code":"stored"}' }));
  const context = await world.browser.newContext();
  try {
    const conductor = new Conductor(world, plan, proxy, context);
    return await inTime(conductor.run(), () => conductor.doing, SEED_MS);
  } catch (error) {
    const tally: Tally = { executions: 0, events: 0, steps: 0, drops: 0, clientDrops: 0, lost: 0, missing: 0, storedAfterAll: 0 };
    return { seed, faults: [error instanceof Error ? error.stack ?? error.message : String(error)], tally, acts: {}, proxy: proxy.done };
  } finally {
    await context.close();
    await proxy.stop();
  }
}
