// Batches as a sender makes them: bodies, envelopes, chains.

import { randomBytes } from "node:crypto";
import { sessionKey, sha256, sign, token, type Claims } from "./keys.ts";

export type Event = { t: string; n: number; [field: string]: unknown };

export const executionId = () => `run_${randomBytes(16).toString("hex")}`;
export const batchId = () => `bat_${randomBytes(16).toString("hex")}`;
export const stepId = () => randomBytes(8).toString("hex");
export const nowS = () => Math.floor(Date.now() / 1000);

/** A body: header and events, each a line. `header` fields replace the ordinary ones. */
export function body(execution: string, events: Event[], header: Record<string, unknown> = {}): Buffer {
  const first = { v: 1, x: execution, k: 0, prev: "", n: events[0]?.n ?? 0, sdk: "tests/1", ...header };
  return Buffer.from([first, ...events].map((line) => JSON.stringify(line)).join("\n") + "\n");
}

/** Bodies of one writer in sequence, each naming the digest of the one before. */
export function chain(execution: string, pieces: Event[][], header: Record<string, unknown> = {}): Buffer[] {
  let prev = "";
  return pieces.map((events, k) => {
    const bytes = body(execution, events, { ...header, k, prev });
    prev = sha256(bytes, "base64url");
    return bytes;
  });
}

export type Session = { token: string; key: Uint8Array };

/** A session as a backend mints it, any claim replaceable. */
export function session(secret: Uint8Array, project: string, kid: string, claims: Partial<Claims> = {}): Session {
  const iat = nowS();
  const whole = { v: 1, sub: "user_1", sid: `ses_${randomBytes(8).toString("hex")}`, iat, exp: iat + 900, scp: "ingest", ...claims };
  const text = token(project, kid, whole);
  return { token: text, key: sessionKey(secret, text) };
}

/** The bytes of a request to /v1/batches. */
export function seal(session: Session, bytes: Uint8Array, options: { id?: string; ts?: number | string } = {}): Buffer {
  const { id = batchId(), ts = nowS() } = options;
  const line = `b1 ${session.token} ${id} ${ts} ${sign(session.key, id, ts, bytes)}\n`;
  return Buffer.concat([Buffer.from(line), bytes]);
}

/** A small whole execution: start, one llm step, one tool step, end. */
export function smallExecution(at = Date.now()): Event[] {
  return [
    { t: "start", n: 0, at, name: "book a flight", agent: "travel", tags: ["b", "a"], input: { q: "SEA" } },
    {
      t: "step", n: 1, id: stepId(), kind: "llm", name: "plan", at: at + 1, duration_ms: 12.5, status: "ok",
      input: "where to?", output: "Seattle", model: "gpt-4o", usage: { input: 100, output: 20 }, cost_usd: 0.0123,
    },
    {
      t: "step", n: 2, id: stepId(), kind: "tool", name: "search", at: at + 20, duration_ms: 3, status: "error",
      error: { type: "TypeError", message: "no seats" }, tool: { name: "search_flights", call_id: "call_1" },
    },
    { t: "end", n: 3, status: "completed", at: at + 40, last: 3, output: "done" },
  ];
}
