// What the seeds share: one browser, one worker, one site of pages.

import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Browser } from "playwright-core";
import { Api, type Reply } from "../client/api.ts";
import { session } from "../client/batches.ts";
import { launchBrowser } from "../fixtures/browser.ts";
import { RecorderPages } from "../fixtures/recorder-pages.ts";
import { type Project, Worker } from "../fixtures/worker.ts";

const SERVICE_WORKER = `
  import { Recorder } from "/stepseal/index.js";
  import { createActor } from "/actor.js";
  const seed = new URL(location.href).searchParams.get("seed");
  const report = (told) => void fetch("/report?seed=" + seed, { method: "POST", body: JSON.stringify(told) }).catch(() => {});
  const act = createActor(Recorder, report);
  let started;
  addEventListener("install", () => void skipWaiting());
  onmessage = (event) => event.waitUntil((async () => {
    const { options, command } = event.data;
    started ??= act({ act: "start", ...options });
    const { instance } = await started;
    event.ports[0].postMessage({ instance, ...(await act(command)) });
  })());
`;

/** Asks again where another seed restarts the worker meanwhile. */
class PatientApi extends Api {
  override async request(...asked: Parameters<Api["request"]>): Promise<Reply> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await super.request(...asked);
      } catch (error) {
        if (attempt === 20) throw error;
        await delay(500);
      }
    }
  }
}

/** Where a worker listens for good: it must be the same address after a restart. */
const port = () => randomInt(20_000, 30_000);

export class World {
  readonly worker: Worker;
  readonly project: Project;
  readonly browser: Browser;
  readonly pages: RecorderPages;
  readonly viewer: Api;
  restarts = 0;
  readonly #reported: Map<number, (told: any) => void>;
  #restart: Promise<void> = Promise.resolve();

  private constructor(worker: Worker, project: Project, browser: Browser, pages: RecorderPages, reported: Map<number, (told: any) => void>) {
    this.worker = worker;
    this.project = project;
    this.browser = browser;
    this.pages = pages;
    this.viewer = new PatientApi(worker.url, project.viewerKey);
    this.#reported = reported;
  }

  static async make(): Promise<World> {
    const worker = await Worker.start({ port: port(), addressLimit: 10_000_000 });
    const project = await worker.createProject("prj_chaos");
    const reported = new Map<number, (told: any) => void>();
    const answer = (url: URL, body: string): object => {
      const seed = Number(url.searchParams.get("seed"));
      if (url.pathname === "/report") reported.get(seed)?.(JSON.parse(body));
      return url.pathname === "/session" ? mint(project, seed) : {};
    };
    const files = { "/actor.js": readFileSync(join(import.meta.dirname, "actor.js"), "utf8"), "/service-worker.js": SERVICE_WORKER };
    const pages = await RecorderPages.serve("http://127.0.0.1:*", files, answer);
    return new World(worker, project, await launchBrowser(), pages, reported);
  }

  /** Hears what the service worker of a seed tells. */
  listen(seed: number, told: (told: any) => void): () => void {
    this.#reported.set(seed, told);
    return () => void this.#reported.delete(seed);
  }

  /** Ends the worker and starts it again on the same store. One at a time. */
  restart(): Promise<void> {
    this.#restart = this.#restart.then(async () => {
      this.restarts += 1;
      await this.worker.pause();
      await this.worker.resume();
    });
    return this.#restart;
  }

  async end(): Promise<void> {
    await this.browser.close();
    await this.pages.stop();
    await this.worker.stop();
  }
}

/** A session as the customer's backend gives it to the seed's user. */
function mint(project: Project, seed: number): object {
  const { token, key } = session(project.secret, project.id, project.kid, { sub: `user_${seed}` });
  return { token, key: Buffer.from(key).toString("base64"), expires_at: Date.now() + 900_000, server_time: Date.now() };
}
