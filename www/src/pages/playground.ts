/**
 * The playground: a file of agent transcripts, recorded through the SDK before
 * the reader's eyes. Loaded on its own, as the SDK is not needed elsewhere.
 */

import { Recorder } from "stepseal";
import wasmPath from "stepseal/stepseal_bg.wasm";
import { readProject, type Project } from "../api.ts";
import { copyButton, notice } from "../controls.ts";
import { el, on, recorded, replaceChildren } from "../dom.ts";
import { count, plural } from "../format.ts";
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
  const report = reportView();

  on(input, {
    change: () => {
      const files = [...(input.files ?? [])];
      input.value = "";
      void recordFiles(files);
    },
  });
  on(sample, { click: () => void recordFiles([new File([SAMPLE_TRANSCRIPT], SAMPLE_FILE_NAME)]) });
  acceptDrops(zone, (files) => void recordFiles(files));
  void showAccess(access, signal);

  return el(
    "div",
    { class: "playground" },
    el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, "Playground"), sample),
    el("p", { class: "lead" }, "Each transcript becomes one execution, recorded, signed and sent by the SDK in this page: an ",
      el("code", null, "llm"), " step for every assistant message, a ", el("code", null, "tool"), " step for every tool call."),
    access,
    input,
    zone,
    report.view,
  );

  async function recordFiles(files: readonly File[]): Promise<void> {
    if (files.length === 0 || input.disabled) return;
    setBusy(true);
    report.begin(files.map((file) => file.name));
    try {
      await record(files);
      report.end();
    } catch (error) {
      report.fail(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  }

  async function record(files: readonly File[]): Promise<void> {
    const project = await readProject(signal);
    const recorder = await Recorder.start({
      endpoint: location.origin,
      session: { publishableKey: project.publishable_key },
      wasm: wasmPath,
    });
    try {
      for (const file of files) {
        const text = await readTranscriptFile(file).catch((error: unknown) => {
          if (!(error instanceof UnreadableFile)) throw error;
          report.faulty({ place: { line: null, item: null }, reason: `${file.name}: ${error.message}` });
          return null;
        });
        if (text !== null) await recordTranscripts(recorder, readTranscripts(text, file.name), report, signal);
      }
      report.total(await recorder.flush());
    } finally {
      await recorder.close();
    }
  }

  function setBusy(busy: boolean): void {
    input.disabled = busy;
    sample.disabled = busy;
    zone.classList.toggle("busy", busy);
  }
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

interface Report extends Watcher {
  readonly view: HTMLElement;
  begin(fileNames: readonly string[]): void;
  total(fates: Fates): void;
  end(): void;
  fail(message: string): void;
}

type State = "idle" | "recording" | "done" | "failed";

function reportView(): Report {
  const summary = el("section", { id: "playground-summary", class: "summary", hidden: true, "aria-live": "polite", "aria-label": "Recording" });
  const faults = el("ul", { class: "faults" });
  const faultsPart = el("details", { class: "fault-list", hidden: true, open: true }, el("summary"), faults);
  const body = el("tbody");
  const table = el(
    "table",
    { class: "runs plain", hidden: true },
    el("thead", null, el("tr", null,
      el("th", { scope: "col" }, "Execution"), ...["Messages", "Steps", "Stored", "Pending"].map((title) => el("th", { scope: "col", class: "numeric" }, title)),
      el("th", { scope: "col" }, "State"))),
    body,
  );
  const rows = new Map<string, HTMLElement>();
  let state: State = "idle";
  let names = "";
  let startedAt = 0;
  let elapsed = 0;
  let executions = 0;
  let steps = 0;
  let faulty = 0;
  let fates = NO_FATES;
  let failure = "";
  let scheduled = false;
  render();

  /** At most once a frame, however fast runs come. */
  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      render();
    });
  }

  function render(): void {
    if (state === "recording") elapsed = performance.now() - startedAt;
    Object.assign(summary.dataset, {
      state, executions, steps, faults: faulty,
      stored: fates.stored, pending: fates.pending, dropped: fates.dropped, rejected: fates.rejected,
    });
    summary.hidden = state === "idle";
    table.hidden = rows.size === 0;
    faultsPart.hidden = faulty === 0;
    replaceChildren(faultsPart.querySelector("summary")!, `${plural(faulty, "transcript")} could not be read`);
    if (state !== "idle") replaceChildren(summary, headline(), totals());
  }

  function headline(): HTMLElement {
    if (state === "failed") return notice("problem", "Recording stopped: ", failure);
    const what = state === "recording" ? "Recording" : "Recorded";
    return el("p", { class: "headline" }, state === "recording" ? el("span", { class: "spinner", "aria-hidden": "true" }) : icon("check"), what, recorded(names));
  }

  function totals(): HTMLElement {
    const seconds = elapsed / 1000;
    const figure = (value: string, label: string, alarm = false) =>
      el("div", { class: alarm ? "figure alarm" : "figure" }, el("b", null, value), el("span", null, label));
    return el(
      "div",
      { class: "figures" },
      figure(count(executions), executions === 1 ? "execution" : "executions"),
      figure(count(steps), "steps recorded"),
      figure(count(fates.stored), "events stored"),
      figure(count(fates.pending), "pending", state === "done" && fates.pending > 0),
      figure(count(fates.dropped), "dropped", fates.dropped > 0),
      figure(count(fates.rejected), "rejected", fates.rejected > 0),
      figure(seconds > 0 ? count(steps / seconds) : "–", "steps a second"),
      figure(`${seconds.toFixed(1)} s`, state === "recording" ? "so far" : "in all"),
    );
  }

  return {
    view: el("div", { class: "report" }, summary, faultsPart, table),
    begin(fileNames) {
      [state, names, startedAt, elapsed] = ["recording", fileNames.join(", "), performance.now(), 0];
      [executions, steps, faulty, fates] = [0, 0, 0, NO_FATES];
      rows.clear();
      body.replaceChildren();
      faults.replaceChildren();
      render();
    },
    recorded(run) {
      executions += 1;
      steps += run.steps;
      const row = runRow(run);
      rows.set(run.execution, row);
      body.append(row);
      schedule();
    },
    flushed(run, total) {
      const row = runRow(run);
      rows.get(run.execution)?.replaceWith(row);
      rows.set(run.execution, row);
      fates = total;
      schedule();
    },
    faulty(fault) {
      faulty += 1;
      faults.append(faultItem(fault));
      schedule();
    },
    total(total) {
      fates = total;
    },
    end() {
      render();
      state = "done";
      render();
    },
    fail(message) {
      [state, failure] = ["failed", message];
      render();
    },
  };
}

function runRow(run: RecordedRun): HTMLElement {
  const { fates } = run;
  const lost = fates === null ? 0 : fates.dropped + fates.rejected;
  const state = fates === null ? "sending" : lost > 0 ? "lost" : fates.pending > 0 ? "pending" : "stored";
  const label = lost > 0 ? `${plural(lost, "event")} not stored` : state;
  return el(
    "tr",
    { "data-execution": run.execution, "data-state": state },
    el("td", { class: "cell-name" }, el("a", { href: executionPath(run.execution) }, recorded(run.name))),
    el("td", { class: "numeric" }, count(run.messages)),
    el("td", { class: "numeric" }, count(run.steps)),
    el("td", { class: "numeric" }, fates === null ? "" : count(fates.stored)),
    el("td", { class: "numeric" }, fates === null ? "" : count(fates.pending)),
    el("td", null, el("span", { class: "run-state" }, label)),
  );
}

function faultItem(fault: Fault): HTMLElement {
  const where = placeLabel(fault.place);
  return el("li", null, where === null ? null : el("strong", null, `${where}: `), recorded(fault.reason));
}

function placeLabel(place: Place): string | null {
  if (place.line !== null) return `Line ${place.line}`;
  return place.item === null ? null : `Transcript ${place.item}`;
}
