// Runs in the page: gives each recorder the same steps and times it.

export type Message = { role: string; content: unknown; tool_call_id?: string; tool_calls?: { id: string; function: { name: string; arguments: string } }[] };
export type Step = { kind: "llm" | "tool"; name: string; input: unknown; output: unknown };

/** What a recorder must do to be measured. */
export interface Candidate {
  start(url: string, session: unknown): Promise<void>;
  begin(name: string): Recording;
  /** Sends everything. */
  flush(): Promise<unknown>;
}

/** One run of an agent. */
export interface Recording {
  step(step: Step): void;
  end(): void;
}

/** Times of single calls, in microseconds. */
export type Timings = number[];

/** The steps of a run: an `llm` step with its whole history for each answer of the model, a `tool` step for each call. */
function stepsOf(messages: Message[]): Step[] {
  const replies = messages.filter(({ role }) => role === "tool");
  return messages.flatMap((message, index): Step[] => {
    if (message.role !== "assistant") return [];
    const calls = (message.tool_calls ?? []).map(({ function: { name, arguments: text } }): Step => ({ kind: "tool", name, input: JSON.parse(text), output: replies.shift()?.content }));
    return [{ kind: "llm", name: "chat", input: { messages: messages.slice(0, index) }, output: message }, ...calls];
  });
}

const channel = new MessageChannel();
/** Ends the task: what a recorder has put off gets its chance, as between the steps of a real agent. */
const nextTask = () => new Promise((resolve) => {
  channel.port1.onmessage = resolve;
  channel.port2.postMessage(0);
});

async function timed(timings: Timings, work: () => void, times = 1): Promise<void> {
  await nextTask();
  const before = performance.now();
  work();
  timings.push(((performance.now() - before) * 1_000) / times);
}

/** A step of about 1 kB, as a tool call gives it. */
function smallStep(index: number): Step {
  const flights = Array.from({ length: 6 }, (_, flight) => ({ number: `HAT${index}${flight}`, from: "JFK", to: "SEA", price: 100 + flight, note: `seat ${index} by the window, no meal, one bag, refundable` }));
  return { kind: "tool", name: "search_flights", input: { from: "JFK", to: "SEA", date: "2026-11-21" }, output: flights };
}

const BLOCK = 50;
const BLOCKS = 60;
/** Sentry takes at most 1,000 spans of a trace into account. */
const BLOCKS_PER_RUN = 10;

export function drive(candidate: Candidate): void {
  let runs: Step[][] = [];
  let blocks: Step[][] = [];
  Object.assign(globalThis, {
    /** Reads the runs, and makes ready all that is not to be measured. Gives the number of steps. */
    async prepare(url: string, session: unknown): Promise<number> {
      const read: Message[][] = await (await fetch("/runs.json")).json();
      runs = read.map(stepsOf);
      blocks = Array.from({ length: BLOCKS }, (_, block) => Array.from({ length: BLOCK }, (_, index) => smallStep(block * BLOCK + index)));
      await candidate.start(url, session);
      return runs.flat().length;
    },

    /** Records the runs a step a task: the time of each call. */
    async recordRuns(): Promise<Timings> {
      const timings: Timings = [];
      for (const steps of runs) {
        const recording = candidate.begin("airline");
        for (const step of steps) await timed(timings, () => recording.step(step));
        recording.end();
      }
      return timings;
    },

    /** Records steps of 1 kB in loops of {@link BLOCK}: the mean time of a call in each loop. */
    async recordLoop(): Promise<Timings> {
      const timings: Timings = [];
      let recording = candidate.begin("loop");
      for (const [index, steps] of blocks.entries()) {
        if (index % BLOCKS_PER_RUN === BLOCKS_PER_RUN - 1) {
          recording.end();
          recording = candidate.begin("loop");
        }
        await timed(timings, () => steps.forEach((step) => recording.step(step)), steps.length);
      }
      recording.end();
      return timings;
    },

    flush: () => candidate.flush(),
  });
}
