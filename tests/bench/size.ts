// `npm run bench -- size`: what a page pays to load the SDK, beside what it would pay for others. Each is bundled by
// esbuild in the same way, from the least code that records one step of work and would be used in earnest.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "..", "..");
const PACKAGE = join(ROOT, "sdk-wasm", "pkg");
const WASM = join(PACKAGE, "stepseal_bg.wasm");

type Candidate = {
  name: string;
  /** The npm package whose version is printed. */
  from?: string;
  code: string;
  /** Files that the page loads beside the code. */
  assets?: string[];
};

const stepseal = (entry: string) => `
  import { Recorder } from "${entry}";
  const recorder = await Recorder.start({ endpoint: "https://stepseal.example.com", session: "/stepseal-session" });
  const run = recorder.startExecution({ name: "book a flight" });
  await run.step({ kind: "tool", name: "search", input: "SFO" }, () => "HAT136");
  run.complete();
`;

const sentry = (imports: string, options: string) => `
  import { init, startSpan, ${imports} } from "@sentry/browser";
  init({ dsn: "https://key@o0.ingest.sentry.example.com/0", tracesSampleRate: 1, ${options} });
  startSpan({ name: "search", op: "tool", attributes: { input: "SFO" } }, () => "HAT136");
`;

const CANDIDATES: Candidate[] = [
  { name: "stepseal (code and wasm)", code: stepseal("stepseal"), assets: [WASM] },
  { name: "stepseal/inline", code: stepseal("stepseal/inline") },
  {
    name: "@opentelemetry/sdk-trace-web, batches, OTLP/HTTP",
    from: "@opentelemetry/sdk-trace-web",
    code: `
      import { BatchSpanProcessor, WebTracerProvider } from "@opentelemetry/sdk-trace-web";
      import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
      const exporter = new OTLPTraceExporter({ url: "https://otel.example.com/v1/traces" });
      const provider = new WebTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] });
      const span = provider.getTracer("agent").startSpan("search", { attributes: { input: "SFO" } });
      span.setAttribute("output", "HAT136").end();
    `,
  },
  {
    name: "@sentry/browser, bare client",
    from: "@sentry/browser",
    code: `
      import { BrowserClient, defaultStackParser, getCurrentScope, makeFetchTransport } from "@sentry/browser";
      const client = new BrowserClient({
        dsn: "https://key@o0.ingest.sentry.example.com/0", transport: makeFetchTransport, stackParser: defaultStackParser, integrations: [],
      });
      getCurrentScope().setClient(client);
      client.init();
      client.captureMessage("search");
    `,
  },
  { name: "@sentry/browser, defaults", from: "@sentry/browser", code: sentry("captureMessage", "") },
  { name: "@sentry/browser, tracing", from: "@sentry/browser", code: sentry("browserTracingIntegration", "integrations: [browserTracingIntegration()]") },
  {
    name: "@sentry/browser, tracing and offline",
    from: "@sentry/browser",
    code: sentry("browserTracingIntegration, makeBrowserOfflineTransport, makeFetchTransport", "integrations: [browserTracingIntegration()], transport: makeBrowserOfflineTransport(makeFetchTransport)"),
  },
  {
    name: "posthog-js",
    from: "posthog-js",
    code: `
      import posthog from "posthog-js";
      posthog.init("phc_key", { api_host: "https://posthog.example.com" });
      posthog.capture("search", { input: "SFO", output: "HAT136" });
    `,
  },
  {
    name: "langfuse",
    from: "langfuse",
    code: `
      import { Langfuse } from "langfuse";
      const langfuse = new Langfuse({ publicKey: "pk", secretKey: "sk", baseUrl: "https://langfuse.example.com" });
      langfuse.trace({ name: "book a flight" }).span({ name: "search", input: "SFO" }).end({ output: "HAT136" });
    `,
  },
  {
    name: "langsmith",
    from: "langsmith",
    code: `
      import { Client } from "langsmith";
      import { RunTree } from "langsmith/run_trees";
      const run = new RunTree({ name: "search", run_type: "tool", client: new Client({ apiKey: "key" }), inputs: { city: "SFO" } });
      await run.postRun();
      await run.end({ flight: "HAT136" });
      await run.patchRun();
    `,
  },
];

type Size = { minified: number; gzip: number; brotli: number };

async function sizeOf({ code, assets = [] }: Candidate): Promise<Size> {
  const bundled = await build({
    stdin: { contents: code, resolveDir: ROOT },
    bundle: true, minify: true, format: "esm", target: "es2022", platform: "browser", charset: "utf8", write: false, logLevel: "silent",
    define: { "process.env.NODE_ENV": '"production"' },
    alias: { "stepseal/inline": join(PACKAGE, "inline.js"), stepseal: join(PACKAGE, "index.js") },
  });
  const files = [bundled.outputFiles[0]!.contents, ...assets.map((file) => readFileSync(file))];
  const sum = (measure: (file: Uint8Array) => Uint8Array) => files.reduce((total, file) => total + measure(file).length, 0);
  return { minified: sum((file) => file), gzip: sum((file) => gzipSync(file, { level: 9 })), brotli: sum((file) => brotliCompressSync(file)) };
}

const versionOf = (name: string): string => JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")).version;
const kB = (bytes: number) => (bytes / 1_000).toFixed(1).padStart(9);

async function main(): Promise<void> {
  console.log(`\n${"kB".padEnd(62)} minified     gzip   brotli   to ours`);
  let ours = 0;
  for (const candidate of CANDIDATES) {
    const { minified, gzip, brotli } = await sizeOf(candidate);
    ours ||= brotli;
    const name = candidate.from ? `${candidate.name} (${versionOf(candidate.from)})` : candidate.name;
    console.log(`${name.padEnd(62)}${kB(minified)}${kB(gzip)}${kB(brotli)}${(brotli / ours).toFixed(2).padStart(10)}`);
  }
}

await main();
