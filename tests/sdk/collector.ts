// A server that keeps what the SDK sends, answers as it is told, and believes no signature.

import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { session as mint } from "../client/batches.ts";
import { sessionKey, sha256, sign, type Claims } from "../client/keys.ts";
import { bodyOf, listen, type LoopbackServer } from "../fixtures/loopback-server.ts";

export const PROJECT_SECRET = new Uint8Array(32).map((_, index) => 100 - index);

/** A session for the recorder, valid as `claims` say. */
export function session(claims: Partial<Claims> = {}) {
  const { token, key } = mint(PROJECT_SECRET, "prj_sdk", "k1", claims);
  const { exp } = JSON.parse(Buffer.from(token.split(".")[3]!, "base64url").toString());
  return { token, key: Buffer.from(key).toString("base64"), expires_at: exp * 1_000 };
}

export type Event = { t: string; n: number; [field: string]: any };

/** A batch as it came; its signature has been verified. */
export type Received = {
  /** `performance.now()` when its last byte was there. */
  at: number;
  token: string;
  id: string;
  /** Unix seconds, as signed. */
  ts: number;
  bytes: number;
  isGzip: boolean;
  /** Inflated. */
  body: string;
  header: { v: number; x: string; k: number; prev: string; n: number; off?: number; sdk: string };
  events: Event[];
  contentType: string | undefined;
  /** `performance.now()` when it was answered, and what; the future and 0 while it is not. */
  answeredAt: number;
  status: number;
};

/** What is answered, after `delay_ms` milliseconds from when `until` has come. */
export type Answer = { status: number; json?: object; headers?: Record<string, string>; delay_ms?: number; until?: Promise<unknown> };

const STORED: Answer = { status: 200, json: { code: "stored", rejected: 0 } };

export class Collector {
  #server!: LoopbackServer;
  readonly received: Received[] = [];
  /** Answers to the next batches, in order. */
  answers: (Answer | ((batch: Received) => Answer))[] = [];
  /** Answers the batches after them: everything is stored. */
  otherwise: Answer = STORED;
  /** Answers other requests. */
  other: (request: IncomingMessage, body: string) => Answer & { text?: string } = () => ({ status: 404 });
  #waiting: (() => void)[] = [];

  private constructor() {}

  static async start(): Promise<Collector> {
    const collector = new Collector();
    collector.#server = await listen((request, response) => void collector.#serve(request, response));
    return collector;
  }

  get url(): string {
    return this.#server.url;
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** Forgets everything. */
  reset(): void {
    this.received.length = 0;
    this.answers = [];
    this.otherwise = STORED;
  }

  /** Resolves once `count` batches have come. */
  async batches(count: number): Promise<Received[]> {
    while (this.received.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.received;
  }

  /** What a store that keeps the first of each batch would hold, in order of `k`, by execution. */
  stored(): Map<string, Received[]> {
    const executions = new Map<string, Map<number, Received>>();
    for (const batch of this.received) {
      const batches = executions.get(batch.header.x) ?? new Map<number, Received>();
      executions.set(batch.header.x, batches);
      const first = batches.get(batch.header.k);
      if (first) assert.deepEqual([first.id, first.body], [batch.id, batch.body], "a batch never changes");
      if (batch.status === 200 || !first) batches.set(batch.header.k, batch);
    }
    const inOrder = (batches: Map<number, Received>) => [...batches.values()].filter(({ status }) => status === 200).sort((a, b) => a.header.k - b.header.k);
    return new Map([...executions].map(([id, batches]) => [id, inOrder(batches)]));
  }

  /** The events of an execution, whose batches must be a chain without gaps. */
  events(execution: string): Event[] {
    const batches = this.#chain(execution);
    assert.deepEqual(batches.map(({ header }) => header.k), [...batches.keys()]);
    return batches.flatMap((batch) => batch.events);
  }

  /** The events of an execution of which batches may be missing as a whole: each number is there, or a `drop` names it. */
  eventsAndDrops(execution: string): Event[] {
    const events = this.#chain(execution).flatMap((batch) => batch.events);
    const named = events.filter((event) => event.t === "drop").flatMap(({ from, to }) => Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => Number(from) + index));
    const accounted = new Set([...events.map((event) => event.n), ...named]);
    assert.deepEqual([...accounted].sort((a, b) => a - b), [...Array(events.at(-1)!.n + 1).keys()]);
    return events;
  }

  /** The batches of an execution; those that are next to each other are linked. */
  #chain(execution: string): Received[] {
    const batches = this.stored().get(execution) ?? [];
    let [before, n, prev] = [-1, 0, ""];
    for (const batch of batches) {
      const { header, events } = batch;
      if (header.k === before + 1) assert.deepEqual([header.n, header.prev], [n, prev]);
      else assert.ok(header.n > n, "numbers are used once");
      assert.deepEqual(events.map((event) => event.n), events.map((_, index) => header.n + index));
      [before, n, prev] = [header.k, header.n + events.length, sha256(Buffer.from(batch.body), "base64url")];
    }
    return batches;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    if (request.url !== "/v1/batches") {
      const answer = this.other(request, body.toString());
      const type = answer.text === undefined ? "application/json" : "text/html";
      response.writeHead(answer.status, { "content-type": type, ...answer.headers });
      response.end(answer.text ?? JSON.stringify(answer.json ?? {}));
      return;
    }
    const batch = read(body, request);
    this.received.push(batch);
    for (const resolve of this.#waiting.splice(0)) resolve();
    const next = this.answers.shift() ?? this.otherwise;
    const answer = typeof next === "function" ? next(batch) : next;
    batch.status = answer.status;
    await answer.until;
    if (answer.delay_ms) await new Promise((resolve) => setTimeout(resolve, answer.delay_ms));
    const headers = { "content-type": "application/json", "access-control-allow-origin": "*", "access-control-expose-headers": "Retry-After" };
    response.writeHead(answer.status, { ...headers, ...answer.headers });
    response.end(JSON.stringify({ server_time: Date.now(), ...answer.json }));
    batch.answeredAt = performance.now();
  }
}

function read(body: Buffer, request: IncomingMessage): Received {
  const end = body.indexOf("\n");
  const [version, token, id, ts, signature] = body.subarray(0, end).toString().split(" ");
  const content = body.subarray(end + 1);
  assert.equal(version, "b1");
  assert.match(id!, /^bat_[\w-]{22}$/);
  assert.match(ts!, /^[1-9][0-9]{9}$/);
  assert.equal(signature, sign(sessionKey(PROJECT_SECRET, token!), id!, ts!, content));
  const isGzip = content[0] === 0x1f && content[1] === 0x8b;
  const text = (isGzip ? gunzipSync(content) : content).toString();
  assert.ok(text.endsWith("\n"));
  const [header, ...events] = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  return { at: performance.now(), token: token!, id: id!, ts: Number(ts), bytes: body.length, isGzip, body: text, header, events, contentType: request.headers["content-type"], answeredAt: Infinity, status: 0 };
}
