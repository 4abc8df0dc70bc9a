// A reporter for node:test that writes the run's counts as JSON, for test.mjs to add up.

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* countReporter(events) {
  for await (const { type, data } of events) {
    // Each file has a summary too; the one of the whole run names no file.
    if (type === "test:summary" && data.file === undefined) yield JSON.stringify(data.counts);
  }
}
