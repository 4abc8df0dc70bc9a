import { loadCore } from "./core.js";
import { Engine } from "./engine.js";
import { Execution } from "./execution.js";
import { secureUrl, sessionProvider } from "./session.js";
import type { Counts, ExecutionOptions, RecorderOptions, RecorderStatus } from "./types.js";

/** The usual batches. */
const BATCH = { max_events: 200, max_bytes: 60_000, max_wait_ms: 1_000 };
/** How long {@link Recorder.flush} waits where nobody says otherwise. */
const FLUSH_TIMEOUT_MS = 30_000;

/** Records executions and sees every event of them to its fate. */
export class Recorder {
  readonly #engine: Engine;

  private constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Starts a recorder. It is ready when this resolves: the first session is got meanwhile, and its absence is
   * retried. If the core cannot be loaded (a content security policy without `'wasm-unsafe-eval'`, say), this
   * resolves all the same, to a recorder that records nothing and says why in its {@link status}.
   * @throws TypeError if the options cannot work: no endpoint, one that others can read along, no session
   */
  static async start(options: RecorderOptions): Promise<Recorder> {
    const endpoint = secureUrl(options.endpoint);
    const provider = sessionProvider(options.session, endpoint);
    const batch = { ...BATCH, ...options.batch };
    try {
      const core = await loadCore(options.wasm);
      core.start(batch.max_events, batch.max_bytes, batch.max_wait_ms, typeof document !== "undefined", provider.renewable);
      return new Recorder(new Engine(core, endpoint, provider));
    } catch (error) {
      const engine = new Engine(undefined, endpoint, provider);
      engine.fail(error);
      return new Recorder(engine);
    }
  }

  /** Begins to record an execution. */
  startExecution(options: ExecutionOptions): Execution {
    return new Execution(this.#engine, options);
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
