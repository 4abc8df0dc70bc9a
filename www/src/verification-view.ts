/** The Verify button and what it found, said plainly, with the evidence below. */

import { verifyExecution, type Verification } from "./api.ts";
import { notice } from "./controls.ts";
import { append, el, on, recorded, replaceChildren, type Child } from "./dom.ts";
import { count, plural, timestamp } from "./format.ts";
import { icon } from "./icons.ts";
import { eventRange, mergeFindings, verdictLabel, verdictSentence, type Findings } from "./verification.ts";

export interface VerificationParts {
  readonly button: HTMLButtonElement;
  readonly result: HTMLElement;
  /** Takes back a verdict that speaks of an older state. */
  reset(): void;
}

export function verificationParts(executionId: string, signal: AbortSignal): VerificationParts {
  const button = el("button", { type: "button", id: "verify", class: "verify" }, icon("seal"), "Verify");
  const result = el("div", { id: "verification", "aria-live": "polite" });
  on(button, {
    click: () => {
      button.disabled = true;
      replaceChildren(button, icon("seal"), "Verifying…");
      allFindings(executionId, signal, (checked) => replaceChildren(button, icon("seal"), `Verifying… ${count(checked)}`))
        .then((findings) => {
          showVerdict(button, findings);
          replaceChildren(result, findingsView(findings));
        })
        .catch((error: unknown) => {
          if (signal.aborted) return;
          replaceChildren(button, icon("seal"), "Verify");
          replaceChildren(result, notice("problem", "Not verified: ", error instanceof Error ? error.message : String(error)));
        })
        .finally(() => (button.disabled = false));
    },
  });
  return {
    button,
    result,
    reset() {
      delete button.dataset["verdict"];
      replaceChildren(button, icon("seal"), "Verify");
      replaceChildren(result);
    },
  };
}

async function allFindings(id: string, signal: AbortSignal, progress: (batches: number) => void): Promise<Findings> {
  const pages: Verification[] = [];
  let cursor: string | null = null;
  do {
    const page: Verification = await verifyExecution(id, cursor === null ? {} : { cursor }, signal);
    pages.push(page);
    cursor = page.next_cursor;
    if (cursor !== null) progress(pages.reduce((total, { batches }) => total + batches.length, 0));
  } while (cursor !== null);
  return mergeFindings(pages);
}

function showVerdict(button: HTMLButtonElement, findings: Findings): void {
  button.dataset["verdict"] = findings.verdict;
  button.title = "Verify again";
  replaceChildren(button, icon(findings.verdict === "verified" ? "seal" : "alert"), verdictLabel(findings.verdict));
}

function findingsView(findings: Findings): HTMLElement {
  return el(
    "section",
    { class: "findings", "data-verdict": findings.verdict, "aria-label": "Verification" },
    el("p", { class: "verdict" }, el("strong", null, `${verdictLabel(findings.verdict)}. `), verdictSentence(findings)),
    faultList(findings),
    evidence(findings),
  );
}

function faultList(findings: Findings): HTMLElement | null {
  const faults: Child[][] = [
    ...findings.batches.filter((batch) => batch.verdict !== "verified").map((batch) => [
      el("strong", null, `Batch ${batch.k}`), ...ofWriter(batch.writer), " (", el("code", null, batch.batch_id), `, ${eventRange(batch.n, batch.n + batch.count - 1)}): `,
      batch.reason === null ? verdictLabel(batch.verdict).toLowerCase() : recorded(batch.reason),
    ]),
    ...findings.missing.map((gap) => [el("strong", null, "Missing"), ...ofWriter(gap.writer), `: ${eventRange(gap.from, gap.to)} never arrived`]),
    ...findings.dropped.map((drop) => [
      el("strong", null, "Dropped by the recorder"), ...ofWriter(drop.writer), `: ${plural(drop.count, "event")}, ${eventRange(drop.from, drop.to)}: `, recorded(drop.reason),
    ]),
  ];
  if (findings.tail_unknown) faults.push(["No end is on record: what followed the last readable event, if anything, is unknown."]);
  if (faults.length === 0) return null;
  return el("ul", { class: "faults" }, ...faults.map((fault) => el("li", null, ...fault)));
}

function ofWriter(writer: string): Child[] {
  return writer === "" ? [] : [" of writer ", el("code", null, writer)];
}

const PROVED = "A verified batch came from a holder of its session's key, inside the time window, and has not changed since. "
  + "It cannot prove that the page's own user was honest.";

function evidence(findings: Findings): HTMLElement {
  const rows = findings.batches.map((batch) =>
    el(
      "tr",
      { "data-verdict": batch.verdict },
      el("td", null, batch.writer === "" ? null : `${batch.writer} `, `${batch.k}`),
      el("td", null, batch.count === 1 ? `${batch.n}` : `${batch.n}–${batch.n + batch.count - 1}`),
      el("td", null, el("code", { title: batch.sha256 }, batch.sha256.slice(0, 16))),
      el("td", null, timestamp(batch.received_at)),
      el("td", null, batch.provenance),
      el("td", null, verdictLabel(batch.verdict)),
    ),
  );
  const details = el("details", null, el("summary", null, `${plural(rows.length, "batch", "batches")} checked`));
  append(details, [
    el("div", { class: "scroll-x" }, el(
      "table",
      { class: "plain" },
      el("thead", null, el("tr", null, ...["Batch", "Events", "SHA-256", "Received", "Minted by", "Verdict"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", null, ...rows),
    )),
    el("p", { class: "hint" }, PROVED),
  ]);
  return details;
}
