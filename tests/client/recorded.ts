// Executions as the query tests need them: every property that a filter names, given by hand.

import type { Api } from "./api.ts";
import { body, executionId, seal, session, stepId, type Event, type Session } from "./batches.ts";

export type Recorded = {
  at: number; name?: string; agent?: string; user?: string; session?: string; environment?: string; release?: string; tags?: string[];
  model?: string; tool?: string; status?: "completed" | "failed" | "cancelled" | "running"; duration?: number; tokens?: number;
  cost?: number; ttft?: number; error?: boolean;
};

/** Its events: start, one model call, one tool call, end. */
export function eventsOf(recorded: Recorded): Event[] {
  const { at, status = "completed", duration = 40, tokens = 120, cost = 0.01, model = "m1", tool = "search", name = "book", error, ttft, ...labels } = recorded;
  const events: Event[] = [
    { t: "start", n: 0, at, name, ...labels },
    { t: "step", n: 1, id: stepId(), kind: "llm", name: "plan", at, duration_ms: 9, status: "ok", model, usage: { input: tokens - 20, output: 20 }, cost_usd: cost, ...(ttft === undefined ? {} : { ttft_ms: ttft }) },
    { t: "step", n: 2, id: stepId(), kind: "tool", name: tool, at: at + 9, duration_ms: 3, status: error ? "error" : "ok", tool: { name: tool } },
  ];
  return status === "running" ? events : [...events, { t: "end", n: 3, status, at: at + duration, last: 3 }];
}

/** Sends executions under one session; their ids, in order. */
export async function record(api: Api, project: { id: string; kid: string; secret: Uint8Array }, all: Recorded[]): Promise<string[]> {
  const sender: Session = session(project.secret, project.id, project.kid);
  const ids: string[] = [];
  for (const recorded of all) {
    const id = executionId();
    const reply = await api.sendBatch(seal(sender, body(id, eventsOf(recorded))));
    if (reply.json.code !== "stored") throw new Error(`not stored: ${JSON.stringify(reply.json)}`);
    ids.push(id);
  }
  return ids;
}
