// Serves the pages of the benchmark, takes in what every recorder sends, and counts it.

import type { IncomingMessage, ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { bodyOf, listen, type LoopbackServer } from "../../fixtures/loopback-server.ts";

/** Cross-origin isolation makes the page's clock 20 times as fine. */
const ISOLATION = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp", "cross-origin-resource-policy": "same-origin" };
const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
const TYPES: Record<string, string> = { js: "text/javascript", wasm: "application/wasm", json: "application/json", html: "text/html" };

/** What has come: requests, bytes of their bodies, steps in them. */
export type Taken = { requests: number; bytes: number; steps: number };

export class Sink {
  #server!: LoopbackServer;
  readonly #files: Map<string, Uint8Array>;
  #bodies: Buffer[] = [];

  private constructor(files: Map<string, Uint8Array>) {
    this.#files = files;
  }

  static async start(files: Map<string, Uint8Array>): Promise<Sink> {
    const sink = new Sink(files);
    sink.#server = await listen((request, response) => void sink.#answer(request, response));
    return sink;
  }

  get url(): string {
    return this.#server.url;
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** What has come since the last call; reading it waits until nobody measures. */
  take(): Taken {
    const bodies = this.#bodies.splice(0);
    return {
      requests: bodies.length,
      bytes: bodies.reduce((sum, body) => sum + body.length, 0),
      steps: bodies.reduce((sum, body) => sum + stepsIn(body), 0),
    };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === "GET") return this.#serve(request.url!.slice(1), response);
    const body = await bodyOf(request);
    if (request.method === "POST") this.#bodies.push(body);
    response.writeHead(200, { "content-type": "application/json", ...CORS });
    response.end(JSON.stringify({ code: "stored", rejected: 0, server_time: Date.now() }));
  }

  #serve(name: string, response: ServerResponse): void {
    const file = this.#files.get(name);
    response.writeHead(file ? 200 : 404, { "content-type": TYPES[name.split(".").at(-1)!] ?? "text/plain", ...ISOLATION });
    response.end(file);
  }
}

/** The steps in one request of any of the recorders. */
function stepsIn(bytes: Buffer): number {
  const body = bytes.toString();
  if (body.startsWith("b1 ")) {
    const sealed = bytes.subarray(bytes.indexOf("\n") + 1);
    const batch = sealed[0] === 0x1f ? gunzipSync(sealed).toString() : body;
    return batch.split("\n").filter((line) => line.startsWith('{"t":"step"')).length;
  }
  if (body.startsWith('{"resourceSpans"')) {
    const spans = JSON.parse(body).resourceSpans.flatMap(({ scopeSpans }: any) => scopeSpans.flatMap(({ spans }: any) => spans));
    return spans.filter(({ parentSpanId }: any) => parentSpanId).length;
  }
  // An envelope of Sentry's: lines of JSON, one of them with spans, of which a run's own is a segment.
  const spans = body.split("\n").flatMap((line) => (line.includes('"items":[') ? JSON.parse(line).items : []));
  return spans.filter(({ is_segment }) => !is_segment).length;
}
