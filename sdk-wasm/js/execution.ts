// Executions and steps as handles.

import { membersOf, membersOfError, toName, toObjectText, toText } from "./capture.js";
import { EVENT, ROLE } from "./core.js";
import type { Engine } from "./engine.js";
import { randomHex } from "./random.js";
import type { Contents, Marks } from "./redaction/redaction.js";
import type {
  ExecutionOptions,
  ExecutionSnapshot,
  ExecutionStatus,
  RecordedError,
  StepOptions,
  StepRecord,
  StepResult,
  StepSnapshot,
  StepStatus,
  Usage,
} from "./types.js";

const BUCKETS = ["input", "cache_read", "cache_write", "output", "reasoning"] as const;
/** So much of the steps' texts is kept for snapshots, in UTF-16 units; later steps are kept without contents. */
const SNAPSHOT_MAX = 1 << 22;

/**
 * One run of an agent. Nothing here throws into its host: what cannot be recorded is counted in
 * {@link Recorder.status}, and what comes after the end is ignored and counted.
 */
export class Execution {
  /** `run_` and a trace id, unless another was given. */
  readonly id: string;
  /** The fields of its start as they were recorded. */
  readonly #start: string;
  readonly #marks: Marks = new Map();
  readonly #startedAt: number;
  readonly #engine: Engine;
  readonly #handle: number;
  readonly #running = new Set<Step>();
  readonly #steps: string[] = [];
  #kept = 0;
  #status: ExecutionStatus = "running";
  #endedAt: number | null = null;

  /** @internal Use {@link Recorder.startExecution}. */
  constructor(engine: Engine, options: ExecutionOptions, role: number) {
    const { id, name, at, parent, input, ...rest } = membersOf(options);
    const given = typeof id === "string" ? engine.open(id, role) : -1;
    this.id = given < 0 ? `run_${randomHex(16)}` : id!;
    this.#handle = given < 0 ? engine.open(this.id, role) : given;
    this.#engine = engine;
    this.#startedAt = time(at);
    this.#start = "{}";
    if (role !== ROLE.starter) return;
    const { execution: x, step } = membersOf(parent ?? ({} as NonNullable<typeof parent>));
    const rate = engine.rate(this.#handle);
    const fields = { at: this.#startedAt, name: toName(name), ...rest, parent: parent && { x, step }, rate: rate === 1 ? undefined : rate };
    this.#start = this.#record(EVENT.start, fields, { input: toText(input) });
  }

  /** Begins a step, which must be ended by its own `end`, `fail` or `cancel`. */
  startStep(options: StepOptions): Step {
    return this.#startStep(options);
  }

  /**
   * Runs `body` as a step: times it, records what it returns as output, or what it throws as error and throws
   * it on. `body` may end the step itself to record more.
   */
  step<T>(options: StepOptions, body: (step: Step) => T | Promise<T>): Promise<Awaited<T>> {
    return runStep(this.startStep(options), body);
  }

  /** Records a step that has ended; gives its id. */
  recordStep(step: StepRecord): string {
    const { id, name, at, input, output, reasoning, error, status, duration_ms, ...rest } = membersOf(step);
    const stepId = stepIdFrom(id);
    this.#recordStep(
      {
        ...rest,
        id: stepId,
        name: toName(name),
        at: time(at),
        duration_ms: duration(duration_ms ?? 0),
        status: status ?? (error === undefined ? "ok" : "error"),
        error: error === undefined ? undefined : describeError(error),
      },
      { output: toText(output), reasoning: toText(reasoning), input: toText(input) },
    );
    return stepId;
  }

  /** Records a line of log, of the execution or of the step with id `step`. */
  log(body: unknown, options: { level?: string; step?: string } = {}): void {
    this.#record(EVENT.log, { at: Date.now(), ...membersOf(options) }, { body: toText(body) });
  }

  /** Records a judgement of the execution, or of the step with id `step`. */
  score(score: { name: string; value: number | boolean | string; step?: string; comment?: string; source?: string }): void {
    this.#record(EVENT.score, score);
  }

  /** The execution waits for a person, or runs again. */
  setState(state: "running" | "waiting"): void {
    this.#record(EVENT.state, { at: Date.now(), state });
  }

  /** The execution waits for a person until `answer` is there. */
  async waitFor<T>(answer: Promise<T>): Promise<T> {
    this.setState("waiting");
    try {
      return await answer;
    } finally {
      this.setState("running");
    }
  }

  /** Nothing more comes from here; the execution goes on, or ends, elsewhere. Its running steps are cancelled. */
  leave(): void {
    for (const step of this.#running) step.cancel("the writer left");
    this.#engine.leave(this.#handle);
    this.#marks.clear();
  }

  /** The execution has done its work. */
  complete(result: { output?: unknown } = {}): void {
    this.#end("completed", {}, toText(membersOf(result).output));
  }

  /** The execution has failed. */
  fail(error: unknown): void {
    this.#end("failed", { error: describeError(error) });
  }

  /** The execution was stopped. */
  cancel(reason?: string): void {
    this.#end("cancelled", { error: cancellation(reason) });
  }

  /** The execution so far, as it was recorded; later changes to values that were passed in do not show. */
  getSnapshot(): ExecutionSnapshot {
    const running = [...this.#running].map((step) => this.#redact(EVENT.open, ...step.soFar()));
    const steps: StepSnapshot[] = [...this.#steps, ...running].flatMap(parsed);
    const counted = steps.filter(({ kind }) => kind !== "agent" && kind !== "chain");
    const sum = (value: (step: StepSnapshot) => number | undefined): number => counted.reduce((total, step) => total + (Number(value(step)) || 0), 0);
    const usage = Object.fromEntries(BUCKETS.map((bucket) => [bucket, sum((step) => step.usage?.[bucket])])) as Required<Usage>;
    return {
      id: this.id,
      name: JSON.parse(this.#start).name ?? "",
      status: this.#status,
      started_at: this.#startedAt,
      ended_at: this.#endedAt,
      steps,
      usage,
      cost_usd: sum((step) => step.cost_usd),
    };
  }

  #startStep(options: StepOptions, parent?: string): Step {
    const step = new Step(options, parent, {
      start: (options, parent) => this.#startStep(options, parent),
      announce: (fields, contents) => void this.#record(EVENT.open, fields, contents),
      end: (step, fields, contents) => {
        this.#running.delete(step);
        this.#engine.stepEnded(step);
        this.#recordStep(fields, contents);
      },
    });
    this.#running.add(step);
    this.#engine.stepStarted(step);
    return step;
  }

  #recordStep(fields: object, contents: Contents): void {
    const text = this.#record(EVENT.step, fields, contents);
    this.#kept += text.length;
    this.#steps.push(this.#kept > SNAPSHOT_MAX ? withoutContents(text) : text);
  }

  #end(status: ExecutionStatus, fields: { error?: RecordedError }, output?: string): void {
    if (this.#status === "running") {
      for (const step of this.#running) step.cancel("the execution ended");
      this.#status = status;
      this.#endedAt = Date.now();
      this.#engine.decide(this.#handle, status === "failed");
    }
    this.#record(EVENT.end, { status, at: Date.now(), ...fields }, { output });
    this.#marks.clear();
  }

  /** Gives the text of the fields that were recorded, or why there are none. */
  #record(event: number, fields: object, contents: Contents = {}): string {
    const text = this.#redact(event, fields, contents);
    this.#engine.record(this.#handle, event, text);
    return text;
  }

  #redact(event: number, fields: object, contents: Contents): string {
    return this.#engine.redaction.event(event, toObjectText(fields), contents, this.#marks);
  }
}

/** Nothing if there are no fields. */
function parsed(text: string): StepSnapshot[] {
  return text[0] === "{" ? [JSON.parse(text)] : [];
}

function withoutContents(text: string): string {
  const [step] = parsed(text);
  return step ? JSON.stringify({ ...step, input: undefined, output: undefined, reasoning: undefined }) : text;
}

/** What a step needs of its execution. */
interface StepHost {
  start(options: StepOptions, parent: string): Step;
  announce(fields: object, contents: Contents): void;
  end(step: Step, fields: Record<string, unknown>, contents: Contents): void;
}

/** A step that has begun. It ends once: by the first of `end`, `fail` and `cancel`. */
export class Step {
  /** 16 hex digits (a span id), unless another was given. */
  readonly id: string;
  /** @internal */
  readonly startedAt = performance.now();
  readonly #host: StepHost;
  readonly #fields: Record<string, unknown>;
  readonly #input: string | undefined;
  #hasEnded = false;

  /** @internal Use {@link Execution.startStep}. */
  constructor(options: StepOptions, parent: string | undefined, host: StepHost) {
    const { id, name, input, at, metadata, ...rest } = membersOf(options);
    this.id = stepIdFrom(id);
    this.#host = host;
    this.#fields = { ...rest, id: this.id, name: toName(name), at: time(at), parent, metadata: metadata && membersOf(metadata) };
    this.#input = toText(input);
  }

  /** Begins a step that is part of this one. */
  startStep(options: StepOptions): Step {
    return this.#host.start(options, this.id);
  }

  /** Runs `body` as a step that is part of this one; see {@link Execution.step}. */
  step<T>(options: StepOptions, body: (step: Step) => T | Promise<T>): Promise<Awaited<T>> {
    return runStep(this.startStep(options), body);
  }

  /** The step has done its work. */
  end(result: StepResult = {}): void {
    this.#end("ok", result);
  }

  /** The step has failed. */
  fail(error: unknown, result: StepResult = {}): void {
    this.#end("error", result, describeError(error));
  }

  /** The step was stopped. */
  cancel(reason?: string): void {
    this.#end("cancelled", {}, cancellation(reason));
  }

  /** @internal */
  announce(): void {
    this.#host.announce(this.#fields, { input: this.#input });
  }

  /** @internal */
  soFar(): [fields: object, contents: Contents] {
    return [{ ...this.#fields, status: "running" }, { input: this.#input }];
  }

  #end(status: StepStatus, result: StepResult, error?: RecordedError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { output, reasoning, metadata, ...rest } = membersOf(result);
    const fields: Record<string, unknown> = { ...this.#fields, duration_ms: duration(performance.now() - this.startedAt), status, error };
    for (const [key, value] of Object.entries(rest)) if (value !== undefined) fields[key] = value;
    if (metadata) fields["metadata"] = { ...membersOf(fields["metadata"] as object), ...membersOf(metadata) };
    // The input last: it may be a long history, and each text before it is copied once more.
    this.#host.end(this, fields, { output: toText(output), reasoning: toText(reasoning), input: this.#input });
  }
}

async function runStep<T>(step: Step, body: (step: Step) => T | Promise<T>): Promise<Awaited<T>> {
  try {
    const output = await body(step);
    step.end({ output });
    return output;
  } catch (error) {
    step.fail(error);
    throw error;
  }
}

function cancellation(reason: string | undefined): RecordedError | undefined {
  return reason === undefined ? undefined : { type: "cancelled", message: toName(reason) };
}

/** Anything may be thrown, and asking it what it is may throw again. */
function describeError(error: unknown): RecordedError {
  try {
    if (error instanceof Error) return membersOfError(error);
    return { type: typeof error, message: typeof error === "object" ? (toText(error) ?? "") : String(error) };
  } catch {
    return { type: "unknown", message: "" };
  }
}

function stepIdFrom(given: unknown): string {
  return typeof given === "string" ? given : randomHex(8);
}

function time(at: number | undefined): number {
  return Number.isFinite(at) ? Math.round(at!) : Date.now();
}

/** In milliseconds, to the microsecond. */
function duration(ms: number): number {
  return Math.max(0, Math.round(ms * 1_000) / 1_000) || 0;
}
