import { type BlobReference, refer } from "./blob.js";
import { type Core, HOST, loadCore, ROLE } from "./core.js";
import { Engine } from "./engine.js";
import { Execution } from "./execution.js";
import { canPersist, Persistence } from "./persistence.js";
import { randomHex } from "./random.js";
import { Redaction } from "./redaction/redaction.js";
import { findSecrets } from "./redaction/secrets.js";
import { secureUrl, sessionProvider, type SessionProvider } from "./session.js";
import type { Bytes, Counts, ExecutionOptions, RecorderOptions, RecorderStatus } from "./types.js";

/** The usual batches. */
const BATCH = { max_events: 200, max_bytes: 60_000, max_wait_ms: 1_000 };
/** How long {@link Recorder.flush} waits where nobody says otherwise. */
const FLUSH_TIMEOUT_MS = 30_000;

/**
 * Records executions and sees every event of them to its fate. Dispatches `statuschange` when its {@link status} has
 * changed.
 */
export class Recorder extends EventTarget {
  readonly #engine: Engine;

  private constructor(core: Core | undefined, endpoint: URL, provider: SessionProvider, redaction: Redaction) {
    super();
    this.#engine = new Engine(core, endpoint, provider, redaction, () => this.dispatchEvent(new Event("statuschange")));
  }

  /**
   * Starts a recorder. It is ready when this resolves: the first session is got meanwhile, and its absence is
   * retried. If the core cannot be loaded (a content security policy without `'wasm-unsafe-eval'`, say), this
   * resolves all the same, to a recorder that records nothing and says why in its {@link status}.
   * @throws TypeError if the options cannot work: no endpoint, one that others can read along, no session, or
   *   redaction that is no rules
   */
  static async start(options: RecorderOptions): Promise<Recorder> {
    const endpoint = secureUrl(options.endpoint);
    const provider = sessionProvider(options.session, endpoint);
    const { rate, keep_failures } = checkedSample(options.sample);
    const redaction = new Redaction(options.redaction);
    const batch = { ...BATCH, ...options.batch };
    const stores = options.storage !== "memory" && canPersist();
    const queue = randomHex(8);
    try {
      // Fails at once where it cannot work, and not at each event.
      findSecrets("");
      const core = await loadCore(options.wasm);
      const isPage = typeof document !== "undefined";
      const host = +isPage * HOST.isPage + +provider.renewable * HOST.renews + +stores * HOST.stores + +keep_failures * HOST.keepsFailures;
      core.start({ queue, maxEvents: batch.max_events, maxBytes: batch.max_bytes, maxWaitMs: batch.max_wait_ms, host, rate });
      const recorder = new Recorder(core, endpoint, provider, redaction);
      const engine = recorder.#engine;
      engine.sampled = rate;
      if (options.consent === false) engine.consent(false);
      engine.start(stores ? new Persistence(`stepseal ${endpoint.href}`, queue, engine) : undefined);
      return recorder;
    } catch (error) {
      const recorder = new Recorder(undefined, endpoint, provider, redaction);
      recorder.#engine.fail(error);
      return recorder;
    }
  }

  override addEventListener(...listener: Parameters<EventTarget["addEventListener"]>): void {
    this.#engine.watch();
    super.addEventListener(...listener);
  }

  /** Begins to record an execution. */
  startExecution(options: ExecutionOptions): Execution {
    return new Execution(this.#engine, options, ROLE.starter);
  }

  /**
   * Goes on with an execution that a page began which is gone: before a navigation, or a reload. Unless that is done
   * within ten seconds of {@link start}, such an execution is ended as cancelled.
   */
  resume(execution: string): Execution {
    return new Execution(this.#engine, { id: execution, name: "" }, ROLE.successor);
  }

  /** Writes to an execution that another place records, such as the page to its worker's. It ends without this one, which {@link Execution.leave}s. */
  join(execution: string): Execution {
    return new Execution(this.#engine, { id: execution, name: "" }, ROLE.companion);
  }

  /**
   * `false` stops recording and forgets everything that is kept here, in this browser's store too; what the server has
   * stays there. `true` lets new executions be recorded.
   */
  consent(given: boolean): void {
    this.#engine.consent(given);
  }

  /**
   * A file, a screenshot or any bytes, as a value to record: its length, type and SHA-256 are recorded, its content
   * is not.
   */
  blob(data: Blob | Bytes, type?: string): Promise<BlobReference> {
    return refer(data, type);
  }

  /**
   * Sends everything recorded so far and resolves when each event of it is stored, rejected or dropped, or after
   * `timeout_ms` (default 30,000); what then still waits is `pending` and goes on being retried.
   */
  flush(options: { timeout_ms?: number } = {}): Promise<Counts> {
    return this.#engine.flush(options.timeout_ms ?? FLUSH_TIMEOUT_MS);
  }

  /** How it stands. */
  get status(): RecorderStatus {
    return this.#engine.status();
  }

  /** Flushes, then stops recording. What is recorded afterwards is dropped and counted. */
  async close(options: { timeout_ms?: number } = {}): Promise<Counts> {
    const counts = await this.flush(options);
    this.#engine.close();
    return counts;
  }
}

function checkedSample({ rate, keep_failures = false }: NonNullable<RecorderOptions["sample"]> = { rate: 1 }): { rate: number; keep_failures: boolean } {
  if (!(rate >= 0 && rate <= 1)) throw new TypeError("stepseal: `sample.rate` must be a number from 0 to 1");
  return { rate, keep_failures };
}
