/**
 * Transcripts recorded as executions through the SDK, one after the other:
 * one `llm` step an assistant message, one `tool` step a tool call below it.
 * No DOM here; whoever watches is told after each change.
 */

import type { Recorder } from "stepseal";
import { answerOf, planSteps, requestOf, type Fault, type PlannedStep, type Reading, type Transcript } from "./transcripts.ts";

/** What became of events; each event has exactly one of these fates. */
export interface Fates {
  readonly stored: number;
  readonly pending: number;
  readonly dropped: number;
  readonly rejected: number;
  /** Why events were dropped or rejected, by how many. */
  readonly reasons: Readonly<Record<string, number>>;
}

export interface RecordedRun {
  readonly execution: string;
  readonly name: string;
  readonly messages: number;
  readonly steps: number;
  /** Null until the run was flushed. */
  readonly fates: Fates | null;
}

export interface Watcher {
  recorded(run: RecordedRun): void;
  flushed(run: RecordedRun, total: Fates): void;
  faulty(fault: Fault): void;
}

export const NO_FATES: Fates = { stored: 0, pending: 0, dropped: 0, rejected: 0, reasons: {} };

/** Work between two pauses: under a frame, so that the page stays responsive. */
const SLICE_MS = 8;

/** How long one run may take to be stored before the recording is given up. */
const FLUSH_TIMEOUT_MS = 20_000;

/** Nothing gets through: recording more would only fill the page's memory. */
export class NothingStored extends Error {
  override readonly name = "NothingStored";
}

/**
 * Records until the readings end or `signal` aborts. A run is flushed before the next begins, so that what
 * became of its events is known and no more than one waits in memory.
 * @throws NothingStored if a whole run waits in vain
 */
export async function recordTranscripts(recorder: Recorder, readings: Iterable<Reading>, watcher: Watcher, signal: AbortSignal): Promise<void> {
  const pause = pacer();
  let before = NO_FATES;
  for (const reading of readings) {
    if (signal.aborted) return;
    if (reading.kind === "fault") {
      watcher.faulty(reading.fault);
      await pause();
      continue;
    }
    const run = await recordTranscript(recorder, reading.transcript, pause);
    watcher.recorded(run);
    const total: Fates = await recorder.flush({ timeout_ms: FLUSH_TIMEOUT_MS });
    const fates = difference(total, before);
    watcher.flushed({ ...run, fates }, total);
    if (fates.pending > 0 && fates.stored === 0) {
      throw new NothingStored(recorder.status.last_error ?? "the server does not answer; what was recorded waits in this page");
    }
    before = total;
    await pause();
  }
}

async function recordTranscript(recorder: Recorder, transcript: Transcript, pause: () => Promise<void>): Promise<RecordedRun> {
  const execution = recorder.startExecution({
    name: transcript.name,
    environment: "playground",
    metadata: transcript.metadata,
    input: requestOf(transcript),
    ...(transcript.agent === null ? {} : { agent: transcript.agent }),
  });
  const plan = planSteps(transcript);
  const ids: string[] = [];
  for (const step of plan) {
    ids.push(execution.recordStep(stepRecord(step, ids)));
    await pause();
  }
  execution.complete({ output: answerOf(transcript) });
  return { execution: execution.id, name: transcript.name, messages: transcript.messages.length, steps: plan.length, fates: null };
}

type StepRecord = Parameters<ReturnType<Recorder["startExecution"]>["recordStep"]>[0];

function stepRecord(step: PlannedStep, ids: readonly string[]): StepRecord {
  if (step.kind === "llm") {
    return {
      kind: "llm", name: step.name, input: step.input, output: step.output,
      ...(step.model === null ? {} : { model: step.model }),
      ...(step.reasoning === null ? {} : { reasoning: step.reasoning }),
    };
  }
  return {
    kind: "tool", name: step.name, input: step.input, parent: ids[step.parent]!,
    tool: step.call_id === null ? { name: step.name } : { name: step.name, call_id: step.call_id },
    // Without a reply in the transcript it is not known that the tool ran.
    ...(step.answered ? { output: step.output } : { status: "cancelled" as const }),
  };
}

function difference(now: Fates, before: Fates): Fates {
  return {
    stored: now.stored - before.stored,
    pending: now.pending - before.pending,
    dropped: now.dropped - before.dropped,
    rejected: now.rejected - before.rejected,
    reasons: Object.fromEntries(
      Object.entries(now.reasons)
        .map(([reason, events]): [string, number] => [reason, events - (before.reasons[reason] ?? 0)])
        .filter(([, events]) => events > 0),
    ),
  };
}

/** A function that lets the page draw and react once a slice of time is used up. */
function pacer(): () => Promise<void> {
  let sliceStart = performance.now();
  return async () => {
    if (performance.now() - sliceStart < SLICE_MS) return;
    await new Promise((resume) => setTimeout(resume, 0));
    sliceStart = performance.now();
  };
}
