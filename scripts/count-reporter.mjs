// A reporter for node:test that writes the run's counts as JSON, for test.mjs to add up.

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* countReporter(events) {
  let skippedSuites = 0;
  for await (const { type, data } of events) {
    // The summary counts a skipped suite nowhere: without this, a whole file could go missing unseen.
    if (type === "test:pass" && data.skip !== undefined && data.details.type === "suite") skippedSuites += 1;
    // Each file has a summary too; the one of the whole run names no file.
    if (type === "test:summary" && data.file === undefined) {
      yield JSON.stringify({ ...data.counts, skipped: data.counts.skipped + skippedSuites });
    }
  }
}
