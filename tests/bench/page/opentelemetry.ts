import { context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { BatchSpanProcessor, WebTracerProvider } from "@opentelemetry/sdk-trace-web";
import { drive } from "./driver.ts";

let provider: WebTracerProvider;

/** A span a step, its contents as attributes: the usual instrumentation of agents. */
drive({
  async start(url) {
    provider = new WebTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${url}/v1/traces` }))] });
  },
  begin(name) {
    const tracer = provider.getTracer("agent");
    const run = tracer.startSpan(name);
    const parent = trace.setSpan(context.active(), run);
    return {
      step({ kind, name, input, output }) {
        const attributes = { kind, input: JSON.stringify(input), output: JSON.stringify(output) };
        tracer.startSpan(name, { attributes }, parent).end();
      },
      end: () => run.end(),
    };
  },
  flush: () => provider.forceFlush(),
});
