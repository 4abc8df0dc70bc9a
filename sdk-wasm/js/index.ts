/**
 * Stepseal: records what an AI agent does in a web page, signs it where it happened and sends it to a
 * Stepseal worker.
 *
 * ```ts
 * const recorder = await Recorder.start({ endpoint: "https://stepseal.example.com", session: "/stepseal-session" });
 * const run = recorder.startExecution({ name: "book a flight" });
 * const flights = await run.step({ kind: "tool", name: "search", input: query }, () => search(query));
 * run.complete({ output: flights });
 * ```
 * @module
 */

export { Recorder } from "./recorder.js";
export type { BlobReference } from "./blob.js";
export type { Execution, Step } from "./execution.js";
export type {
  Bytes,
  Counts,
  ExecutionOptions,
  ExecutionSnapshot,
  ExecutionStatus,
  RecordedError,
  RecorderOptions,
  RecorderStatus,
  RedactableEvent,
  RedactionKind,
  RedactionOptions,
  RedactionRules,
  Session,
  SessionSource,
  PublishableKey,
  StepKind,
  StepOptions,
  StepRecord,
  StepResult,
  StepSnapshot,
  StepStatus,
  Usage,
  WasmModule,
  WasmSource,
} from "./types.js";
