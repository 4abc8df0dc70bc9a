import { flush, init, startInactiveSpan } from "@sentry/browser";
import { drive } from "./driver.ts";

/** Sentry waits so long for its transport, in milliseconds. */
const FLUSH_MS = 60_000;

/** A span a run, a child of it a step. */
drive({
  async start(url) {
    const dsn = new URL(`${url}/1`);
    dsn.username = "key";
    init({ dsn: String(dsn), tracesSampleRate: 1 });
  },
  begin(name) {
    const run = startInactiveSpan({ name, op: "agent", forceTransaction: true });
    return {
      step({ kind, name, input, output }) {
        const attributes = { input: JSON.stringify(input), output: JSON.stringify(output) };
        startInactiveSpan({ name, op: kind, parentSpan: run, attributes }).end();
      },
      end: () => run.end(),
    };
  },
  flush: () => flush(FLUSH_MS),
});
