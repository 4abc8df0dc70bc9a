/**
 * The playground: a file of agent transcripts, recorded through the SDK before
 * the reader's eyes. Loaded on its own, as the SDK is not needed elsewhere.
 */

import { Recorder } from "stepseal";
import wasmPath from "stepseal/stepseal_bg.wasm";
import { readProject, type Project } from "../api.ts";
import { copyButton, notice } from "../controls.ts";
import { el, on, recorded, replaceChildren } from "../dom.ts";
import { count, NOTHING, plural } from "../format.ts";
import { icon } from "../icons.ts";
import { NO_FATES, recordTranscripts, type Fates, type RecordedRun, type Watcher } from "../recording.ts";
import { executionPath } from "../router.ts";
import { SAMPLE_FILE_NAME, SAMPLE_TRANSCRIPT } from "../sample-transcript.ts";
import { readTranscriptFile, UnreadableFile } from "../transcript-file.ts";
import { readTranscripts, type Fault, type Place } from "../transcripts.ts";
import type { PageContext } from "./page.ts";

/** Kept over navigation, so that following a link to an execution does not end the recording. */
let playground: { readonly view: HTMLElement; readonly stop: AbortController } | null = null;

export function showPlayground({ host }: PageContext): void {
  document.title = "Playground · Stepseal";
  if (playground === null) {
    const stop = new AbortController();
    playground = { view: playgroundView(stop.signal), stop };
  }
  replaceChildren(host, playground.view);
}

/** Ends a recording under way: its reader has signed out. */
export function closePlayground(): void {
  playground?.stop.abort();
  playground = null;
}

function playgroundView(signal: AbortSignal): HTMLElement {
  const input = el("input", {
    id: "playground-file", type: "file", multiple: true, class: "visually-hidden",
    accept: ".json,.jsonl,.ndjson,.gz,application/json,application/x-ndjson,application/gzip",
  });
  const zone = el(
    "label",
    { class: "drop-zone", for: "playground-file" },
    icon("upload"),
    el("strong", null, "Drop a file of agent transcripts, or choose one"),
    el("span", { class: "hint" }, "OpenAI chat format: JSON, JSON Lines, or either gzipped. It is read in this page and sent to this server only."),
  );
  const sample = el("button", { type: "button" }, "Record a sample run");
  const access = el("div");
  const report = new Report();
  const start = async (files: readonly File[]) => {
    if (files.length === 0 || input.disabled) return;
    setBusy(true);
    await recordFiles(files, report, signal);
    setBusy(false);
  };
  const setBusy = (busy: boolean) => {
    input.disabled = busy;
    sample.disabled = busy;
    zone.classList.toggle("busy", busy);
  };
  on(input, {
    change: () => {
      const files = [...(input.files ?? [])];
      // So that choosing the same file again is a change.
      input.value = "";
      void start(files);
    },
  });
  on(sample, { click: () => void start([new File([SAMPLE_TRANSCRIPT], SAMPLE_FILE_NAME)]) });
  acceptDrops(zone, (files) => void start(files));
  void showAccess(access, signal);
  return el("div", { class: "playground" },
    el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, "Playground"), sample),
    introduction(), access, input, zone, report.view);
}

function introduction(): HTMLElement {
  return el("p", { class: "lead" }, "Each transcript becomes one execution, recorded, signed and sent by the SDK in this page: an ",
    el("code", null, "llm"), " step for every assistant message, a ", el("code", null, "tool"), " step for every tool call.");
}

// ---- recording ----

async function recordFiles(files: readonly File[], report: Report, signal: AbortSignal): Promise<void> {
  report.begin(files.map((file) => file.name).join(", "));
  try {
    const recorder = await startRecorder(signal);
    try {
      for (const file of files) {
        report.setFile(files.length === 1 ? "" : file.name);
        await recordFile(file, recorder, report, signal);
      }
      report.total(await recorder.flush());
    } finally {
      // Everything was flushed; after a failure there is no use in waiting again.
      await recorder.close({ timeout_ms: 0 });
    }
    report.end();
  } catch (error) {
    report.fail(error instanceof Error ? error.message : String(error));
  }
}

async function startRecorder(signal: AbortSignal): Promise<Recorder> {
  const project = await readProject(signal);
  if (!project.origins.includes(location.origin)) throw new Error(`project ${project.name} accepts no recordings from ${location.origin}`);
  const recorder = await Recorder.start({ endpoint: location.origin, session: { publishableKey: project.publishable_key }, wasm: wasmPath });
  const { state, last_error } = recorder.status;
  if (state === "unavailable") throw new Error(last_error ?? "the recorder could not be loaded");
  return recorder;
}

async function recordFile(file: File, recorder: Recorder, report: Report, signal: AbortSignal): Promise<void> {
  let text: string;
  try {
    text = await readTranscriptFile(file);
  } catch (error) {
    if (!(error instanceof UnreadableFile)) throw error;
    report.faulty({ place: { line: null, item: null }, reason: error.message });
    return;
  }
  await recordTranscripts(recorder, readTranscripts(text, file.name), report, signal);
}

// ---- who may record ----

async function showAccess(host: HTMLElement, signal: AbortSignal): Promise<void> {
  let project: Project;
  try {
    project = await readProject(signal);
  } catch (error) {
    if (!signal.aborted) replaceChildren(host, notice("problem", error instanceof Error ? error.message : String(error)));
    return;
  }
  const allowed = project.origins.includes(location.origin);
  replaceChildren(
    host,
    allowed ? null : notice("problem", "Project ", recorded(project.name), " accepts recordings from ", recorded(project.origins.join(", ") || "no origin"),
      ", and this page is at ", el("code", null, location.origin), ". Open it there."),
    el("p", { class: "hint access" }, "Recording to ", el("strong", null, recorded(project.name)), " with the publishable key ",
      el("code", null, project.publishable_key), copyButton(project.publishable_key, "Copy publishable key")),
  );
}

function acceptDrops(zone: HTMLElement, drop: (files: File[]) => void): void {
  // The whole page accepts: a file dropped beside the zone would otherwise replace the page.
  const inside = () => zone.isConnected;
  on(document.documentElement, {
    dragover: (event) => {
      if (!inside()) return;
      event.preventDefault();
      zone.classList.add("over");
    },
    dragleave: (event) => {
      if (event.relatedTarget === null) zone.classList.remove("over");
    },
    drop: (event) => {
      if (!inside()) return;
      event.preventDefault();
      zone.classList.remove("over");
      drop([...(event.dataTransfer?.files ?? [])]);
    },
  });
}

// ---- what happened ----

type State = "idle" | "recording" | "done" | "failed";

class Report implements Watcher {
  readonly view: HTMLElement;
  readonly #summary = el("section", { id: "playground-summary", class: "summary", "aria-live": "polite", "aria-label": "Recording" });
  readonly #faults = el("ul", { class: "faults" });
  readonly #faultsTitle = el("summary");
  readonly #faultsPart = el("details", { class: "fault-list", open: true }, this.#faultsTitle, this.#faults);
  readonly #body = el("tbody");
  readonly #table = runTable(this.#body);
  readonly #rows = new Map<string, HTMLElement>();
  #state: State = "idle";
  #files = "";
  #file = "";
  #startedAt = 0;
  #elapsed = 0;
  #executions = 0;
  #steps = 0;
  #fates = NO_FATES;
  #failure = "";
  #isScheduled = false;

  constructor() {
    this.view = el("div", { class: "report" }, this.#summary, this.#faultsPart, this.#table);
    this.#draw();
  }

  /** Names the file that the next faults are of; empty where there is only one. */
  setFile(name: string): void {
    this.#file = name;
  }

  begin(files: string): void {
    [this.#state, this.#files, this.#startedAt, this.#elapsed] = ["recording", files, performance.now(), 0];
    [this.#executions, this.#steps, this.#fates] = [0, 0, NO_FATES];
    this.#rows.clear();
    this.#body.replaceChildren();
    this.#faults.replaceChildren();
    this.#draw();
  }

  recorded(run: RecordedRun): void {
    this.#executions += 1;
    this.#steps += run.steps;
    const row = runRow(run);
    this.#rows.set(run.execution, row);
    this.#body.append(row);
    this.#schedule();
  }

  flushed(run: RecordedRun, total: Fates): void {
    const row = runRow(run);
    this.#rows.get(run.execution)?.replaceWith(row);
    this.#rows.set(run.execution, row);
    this.total(total);
  }

  faulty(fault: Fault): void {
    this.#faults.append(faultItem(this.#file, fault));
    this.#schedule();
  }

  total(fates: Fates): void {
    this.#fates = fates;
    this.#schedule();
  }

  end(): void {
    this.#elapsed = performance.now() - this.#startedAt;
    this.#state = "done";
    this.#draw();
  }

  fail(message: string): void {
    [this.#state, this.#failure] = ["failed", message];
    this.#draw();
  }

  /** At most once a frame, however fast runs come. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#draw();
    });
  }

  #draw(): void {
    const faults = this.#faults.children.length;
    if (this.#state === "recording") this.#elapsed = performance.now() - this.#startedAt;
    const { stored, pending, dropped, rejected } = this.#fates;
    Object.assign(this.#summary.dataset, {
      state: this.#state, executions: this.#executions, steps: this.#steps, faults, stored, pending, dropped, rejected,
    });
    this.#summary.hidden = this.#state === "idle";
    this.#table.hidden = this.#rows.size === 0;
    this.#faultsPart.hidden = faults === 0;
    replaceChildren(this.#faultsTitle, `${plural(faults, "part")} of the input could not be read`);
    replaceChildren(this.#summary, this.#headline(), this.#figures());
  }

  #headline(): HTMLElement {
    if (this.#state === "failed") return notice("problem", "Recording stopped: ", recorded(this.#failure));
    const isDone = this.#state === "done";
    return el("p", { class: "headline" }, isDone ? icon("check") : el("span", { class: "spinner", "aria-hidden": "true" }), isDone ? "Recorded" : "Recording", recorded(this.#files));
  }

  #figures(): HTMLElement {
    const { stored, pending, dropped, rejected } = this.#fates;
    const seconds = this.#elapsed / 1000;
    const isOver = this.#state !== "recording";
    return el(
      "div",
      { class: "figures" },
      figure(count(this.#executions), this.#executions === 1 ? "execution" : "executions"),
      figure(count(this.#steps), "steps recorded"),
      figure(count(stored), "events stored"),
      figure(count(pending), "pending", isOver && pending > 0),
      figure(count(dropped), "dropped", dropped > 0),
      figure(count(rejected), "rejected", rejected > 0),
      figure(seconds > 0 ? count(this.#steps / seconds) : NOTHING, "steps a second"),
      figure(`${seconds.toFixed(1)} s`, isOver ? "in all" : "so far"),
    );
  }
}

function figure(value: string, label: string, alarm = false): HTMLElement {
  return el("div", { class: alarm ? "figure alarm" : "figure" }, el("b", null, value), el("span", null, label));
}

function runTable(body: HTMLElement): HTMLElement {
  const numeric = ["Messages", "Steps", "Stored", "Pending"].map((title) => el("th", { scope: "col", class: "numeric" }, title));
  return el("table", { class: "runs plain" },
    el("thead", null, el("tr", null, el("th", { scope: "col" }, "Execution"), ...numeric, el("th", { scope: "col" }, "State"))), body);
}

function runRow(run: RecordedRun): HTMLElement {
  const { fates } = run;
  const lost = fates === null ? 0 : fates.dropped + fates.rejected;
  const state = fates === null ? "sending" : lost > 0 ? "lost" : fates.pending > 0 ? "pending" : "stored";
  const label = fates !== null && lost > 0 ? `${plural(lost, "event")} not stored: ${Object.keys(fates.reasons).join(", ")}` : state;
  return el(
    "tr",
    { "data-execution": run.execution, "data-state": state },
    el("td", { class: "cell-name" }, el("a", { href: executionPath(run.execution) }, recorded(run.name))),
    el("td", { class: "numeric" }, count(run.messages)),
    el("td", { class: "numeric" }, count(run.steps)),
    el("td", { class: "numeric" }, fates === null ? "" : count(fates.stored)),
    el("td", { class: "numeric" }, fates === null ? "" : count(fates.pending)),
    el("td", null, el("span", { class: "run-state" }, recorded(label))),
  );
}

function faultItem(file: string, { place, reason }: Fault): HTMLElement {
  const where = [file, placeLabel(place)].filter((part) => part !== "").join(", ");
  return el("li", null, where === "" ? null : el("strong", null, recorded(where), ": "), recorded(reason));
}

function placeLabel({ line, item }: Place): string {
  if (line !== null) return `line ${line}`;
  return item === null ? "" : `transcript ${item}`;
}
