/**
 * Agent transcripts in the OpenAI chat format, read from text and laid out as
 * the steps to record. Pure: no DOM, no SDK, no clock. What is out of scope:
 * decompression (`transcript-file.ts`) and recording (`recording.ts`).
 *
 * Accepted: a JSON array of messages, an object with `messages`, an array of
 * either, or JSON Lines with one of them a line.
 */

/** One chat message, verbatim. Fields beyond `role` are kept whatever they are. */
export type Message = { readonly role: string; readonly [field: string]: unknown };

/** One recorded conversation and what its file says about it. */
export interface Transcript {
  readonly name: string;
  readonly agent: string | null;
  readonly model: string | null;
  /** Every top-level field that has no place of its own in an execution. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly messages: readonly Message[];
  readonly place: Place;
}

/** Where in the file something stands, counted from 1. */
export interface Place {
  /** The line, where lines are known. */
  readonly line: number | null;
  /** The element of a JSON array of transcripts, where there is one. */
  readonly item: number | null;
}

/** A part of the file that is no transcript, and why. The rest goes on. */
export interface Fault {
  readonly place: Place;
  readonly reason: string;
}

export type Reading =
  | { readonly kind: "transcript"; readonly transcript: Transcript }
  | { readonly kind: "fault"; readonly fault: Fault };

/** A model call: the messages before an assistant message, and that message. */
export interface PlannedModelCall {
  readonly kind: "llm";
  readonly name: string;
  readonly model: string | null;
  readonly input: { readonly messages: readonly Message[] };
  readonly output: Message;
  readonly reasoning: string | null;
}

/** A tool call that an assistant message asked for, and the reply to it. */
export interface PlannedToolCall {
  readonly kind: "tool";
  readonly name: string;
  readonly call_id: string | null;
  /** Index, in the plan, of the model call that asked for it. */
  readonly parent: number;
  /** The arguments, parsed where they are JSON. */
  readonly input: unknown;
  /** The reply's content; meaningless unless `answered`. */
  readonly output: unknown;
  /** False if the transcript holds no reply to this call. */
  readonly answered: boolean;
}

export type PlannedStep = PlannedModelCall | PlannedToolCall;

/** Reads `text` lazily, so that the caller may yield to the page between transcripts. */
export function* readTranscripts(text: string, fileName: string): Generator<Reading> {
  const body = text.startsWith("\uFEFF") ? text.slice(1) : text;
  const title = titleOf(fileName);
  if (body.trim() === "") {
    yield fault({ line: null, item: null }, "the file is empty");
    return;
  }
  const whole = holdsManyLines(body) && firstLineIsComplete(body) ? null : parseJson(body);
  if (whole?.ok) {
    yield* readDocument(whole.value, title);
  } else if (whole === null || someLineIsTranscript(body)) {
    yield* readLines(body, title);
  } else {
    yield fault({ line: whole.line, item: null }, `not JSON: ${whole.reason}`);
  }
}

/** The steps of a transcript in the order in which they happened. */
export function planSteps(transcript: Transcript): PlannedStep[] {
  const { messages } = transcript;
  const steps: PlannedStep[] = [];
  // Unanswered calls, oldest first. Call ids are not unique over a transcript
  // (models repeat them), so a reply answers the oldest call still open under its id.
  const open: { id: string | null; name: string; step: number }[] = [];
  messages.forEach((message, index) => {
    if (message.role === "assistant") {
      const parent = steps.length;
      steps.push({
        kind: "llm",
        name: transcript.model === null ? "chat" : `chat ${transcript.model}`,
        model: transcript.model,
        input: { messages: messages.slice(0, index) },
        output: message,
        reasoning: reasoningOf(message),
      });
      for (const call of callsOf(message)) {
        open.push({ id: call.id, name: call.name, step: steps.length });
        steps.push({
          kind: "tool",
          name: call.name,
          call_id: call.id,
          parent,
          input: parsedArguments(call.arguments),
          output: undefined,
          answered: false,
        });
      }
      return;
    }
    const answered = open.findIndex((call) => isReplyTo(message, call));
    if (answered >= 0) {
      const [call] = open.splice(answered, 1);
      const step = steps[call!.step] as PlannedToolCall;
      steps[call!.step] = { ...step, output: message["content"], answered: true };
    }
  });
  return steps;
}

/** The first user message's content: what the execution was asked. */
export function requestOf(transcript: Transcript): unknown {
  return transcript.messages.find((message) => message.role === "user")?.["content"];
}

/** The last assistant message's content: what the execution answered. */
export function answerOf(transcript: Transcript): unknown {
  return transcript.messages.findLast((message) => message.role === "assistant")?.["content"];
}

// ---- documents and lines ----

function* readDocument(value: unknown, title: string): Generator<Reading> {
  if (Array.isArray(value) && value.length > 0 && !value.some(isMessageLike)) {
    for (const [index, element] of value.entries()) {
      yield readTranscript(element, `${title} #${index + 1}`, { line: null, item: index + 1 });
    }
    return;
  }
  yield readTranscript(value, `${title} #1`, { line: null, item: null });
}

function* readLines(body: string, title: string): Generator<Reading> {
  let ordinal = 0;
  for (const { line, text } of lines(body)) {
    ordinal += 1;
    const place = { line, item: null };
    const parsed = parseJson(text);
    yield parsed.ok
      ? readTranscript(parsed.value, `${title} #${ordinal}`, place)
      : fault(place, `not JSON: ${parsed.reason}`);
  }
}

/** The lines that hold something, with their numbers. */
function* lines(body: string): Generator<{ line: number; text: string }> {
  let line = 0;
  for (let start = 0; start < body.length; ) {
    const newline = body.indexOf("\n", start);
    const end = newline < 0 ? body.length : newline;
    line += 1;
    const text = body.slice(start, end).trim();
    if (text !== "") yield { line, text };
    start = end + 1;
  }
}

function holdsManyLines(body: string): boolean {
  const found = lines(body);
  found.next();
  return !found.next().done;
}

function firstLineIsComplete(body: string): boolean {
  const first = lines(body).next();
  return !first.done && parseJson(first.value.text).ok;
}

/** Tells JSON Lines whose first line is broken from a broken JSON document. */
function someLineIsTranscript(body: string): boolean {
  for (const { text } of lines(body)) {
    if (!text.startsWith("{") && !text.startsWith("[")) continue;
    const parsed = parseJson(text);
    if (parsed.ok && readTranscript(parsed.value, "", NOWHERE).kind === "transcript") return true;
  }
  return false;
}

const NOWHERE: Place = { line: null, item: null };

// ---- one transcript ----

function readTranscript(value: unknown, fallbackName: string, place: Place): Reading {
  const fields = Array.isArray(value) ? { messages: value } : value;
  if (!isObject(fields)) return fault(place, `expected an object with messages, found ${typeName(value)}`);
  const { messages, ...others } = fields;
  if (messages === undefined) return fault(place, "no messages field");
  if (!Array.isArray(messages)) return fault(place, `messages is ${typeName(messages)}, not an array`);
  if (messages.length === 0) return fault(place, "messages is empty");
  const reason = messages.reduce<string | null>(
    (found, message, index) => found ?? messageFault(message, index + 1),
    null,
  );
  if (reason !== null) return fault(place, reason);
  if (!messages.some((message: Message) => message.role === "assistant")) {
    return fault(place, "no assistant message, so no step to record");
  }
  const metadata: Record<string, unknown> = { ...others };
  const name = takeText(metadata, "name") ?? fallbackName;
  const agent = takeText(metadata, "agent");
  const model = takeText(metadata, "model");
  return {
    kind: "transcript",
    transcript: { name, agent, model, metadata, messages: messages as Message[], place },
  };
}

function messageFault(message: unknown, ordinal: number): string | null {
  if (!isObject(message)) return `message ${ordinal} is ${typeName(message)}, not an object`;
  if (typeof message["role"] !== "string" || message["role"] === "") return `message ${ordinal} has no role`;
  const calls = message["tool_calls"];
  if (calls === undefined || calls === null) return null;
  if (!Array.isArray(calls)) return `message ${ordinal}: tool_calls is ${typeName(calls)}, not an array`;
  const nameless = calls.findIndex((call) => callName(call) === null);
  return nameless < 0 ? null : `message ${ordinal}: tool call ${nameless + 1} has no function name`;
}

/** Removes a text field that has a place of its own; anything but text stays metadata. */
function takeText(fields: Record<string, unknown>, key: string): string | null {
  const value = fields[key];
  if (typeof value !== "string" || value.trim() === "") return null;
  delete fields[key];
  return value;
}

// ---- calls and replies ----

interface Call {
  readonly id: string | null;
  readonly name: string;
  readonly arguments: unknown;
}

/** `tool_calls`, and the `function_call` that older models wrote instead. */
function callsOf(message: Message): Call[] {
  const calls = Array.isArray(message["tool_calls"]) ? (message["tool_calls"] as unknown[]) : [];
  const found = calls.map((call) => {
    const id = isObject(call) && typeof call["id"] === "string" ? call["id"] : null;
    return { id, name: callName(call) ?? "", arguments: callBody(call)?.["arguments"] };
  });
  const legacy = message["function_call"];
  if (isObject(legacy) && typeof legacy["name"] === "string") {
    found.push({ id: null, name: legacy["name"], arguments: legacy["arguments"] });
  }
  return found;
}

/** `function` for function tools, `custom` for free-text ones. */
function callBody(call: unknown): Record<string, unknown> | null {
  if (!isObject(call)) return null;
  if (isObject(call["function"])) return call["function"];
  return isObject(call["custom"]) ? { ...call["custom"], arguments: call["custom"]["input"] } : null;
}

function callName(call: unknown): string | null {
  const name = callBody(call)?.["name"];
  return typeof name === "string" && name !== "" ? name : null;
}

function isReplyTo(message: Message, call: { id: string | null; name: string }): boolean {
  if (message.role === "tool") return call.id !== null && message["tool_call_id"] === call.id;
  return message.role === "function" && call.id === null && message["name"] === call.name;
}

function parsedArguments(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const parsed = parseJson(value);
  return parsed.ok ? parsed.value : value;
}

function reasoningOf(message: Message): string | null {
  const reasoning = message["reasoning_content"] ?? message["reasoning"];
  return typeof reasoning === "string" && reasoning !== "" ? reasoning : null;
}

// ---- JSON ----

type Parsed =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string; readonly line: number | null };

function parseJson(text: string): Parsed {
  try {
    return { ok: true, value: JSON.parse(text) as unknown };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const line = lineOfError(message, text);
    // Where the fault stands is said once, by the place it is reported with.
    const reason = message.replace(/ \(line \d+ column \d+\)| at line \d+ column \d+ of the JSON data/, "");
    return { ok: false, reason, line };
  }
}

/** Engines word the position differently and some leave it out. */
function lineOfError(message: string, text: string): number | null {
  const line = /line (\d+) column/.exec(message);
  if (line) return Number(line[1]);
  const position = /position (\d+)/.exec(message);
  if (position) return text.slice(0, Number(position[1])).split("\n").length;
  return /end of (JSON|data)/.test(message) ? text.trimEnd().split("\n").length : null;
}

function isMessageLike(value: unknown): boolean {
  return isObject(value) && typeof value["role"] === "string" && !("messages" in value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function titleOf(fileName: string): string {
  const title = fileName.replace(/\.gz$/i, "").replace(/\.(json|jsonl|ndjson|txt)$/i, "");
  return title === "" ? "transcript" : title;
}

function fault(place: Place, reason: string): Reading {
  return { kind: "fault", fault: { place, reason } };
}
