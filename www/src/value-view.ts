/**
 * What a trace recorded, shown as text: chat messages as a conversation,
 * everything else as JSON or plain text. Long values open in pieces, so that a
 * large one neither fills the page nor stalls it.
 */

import { append, el, on, replaceChildren, type Child } from "./dom.ts";
import { copyButton } from "./controls.ts";
import { count, plural } from "./format.ts";
import { markerText } from "./markers.ts";

interface Limit {
  readonly chars: number;
  readonly lines: number;
}

const SHORT: Limit = { chars: 1_600, lines: 16 };
/** The same instructions open every step of a run. */
const SHORT_INSTRUCTIONS: Limit = { chars: 480, lines: 6 };
/** Text opened by one click; a browser lays this out without a pause. */
const PIECE_CHARS = 200_000;
/** Beyond this, colouring costs more than it tells. */
const COLOURED_CHARS = 40_000;
/** In a long conversation the last messages are the news; the ones before were seen in earlier steps. */
const RECENT_MESSAGES = 2;
const LONG_CONVERSATION = 5;

/** A titled value; null where nothing was recorded. */
export function valueSection(title: string, value: unknown): HTMLElement | null {
  if (value === undefined || value === null) return null;
  return el("section", { class: "value" }, el("h4", null, title), valueView(value));
}

export function valueView(value: unknown): HTMLElement {
  const messages = messagesOf(value);
  if (messages !== null) return conversation(messages.messages, messages.others);
  return typeof value === "string" ? textView(value) : jsonView(value);
}

/** `{type, message, stack}` as an error reads; anything else as it is. */
export function errorView(error: unknown): HTMLElement {
  if (!isObject(error) || typeof error["message"] !== "string") return valueView(error);
  const { type, message, stack, ...others } = error;
  return el(
    "div",
    { class: "error-value" },
    el("p", null, typeof type === "string" && type !== "" ? el("strong", null, `${type}: `) : null, message as string),
    typeof stack === "string" && stack !== "" ? textView(stack) : null,
    Object.keys(others).length > 0 ? jsonView(others) : null,
  );
}

// ---- conversations ----

type Message = Record<string, unknown> & { role: string };

/** A chat-shaped value: messages, alone or under `messages`, or a single message. */
function messagesOf(value: unknown): { messages: Message[]; others: Record<string, unknown> | null } | null {
  if (Array.isArray(value)) {
    return value.length > 0 && value.every(isMessage) ? { messages: value as Message[], others: null } : null;
  }
  if (!isObject(value)) return null;
  if (isMessage(value)) return { messages: [value], others: null };
  const { messages, ...others } = value;
  if (!Array.isArray(messages) || messages.length === 0 || !messages.every(isMessage)) return null;
  return { messages: messages as Message[], others: Object.keys(others).length > 0 ? others : null };
}

function isMessage(value: unknown): value is Message {
  return isObject(value) && typeof value["role"] === "string" && ("content" in value || "tool_calls" in value);
}

function conversation(messages: readonly Message[], others: Record<string, unknown> | null): HTMLElement {
  const list = el("ol", { class: "conversation" });
  const earlier = messages.length > LONG_CONVERSATION ? messages.length - RECENT_MESSAGES : 0;
  append(list, messages.slice(earlier).map(messageView));
  if (earlier > 0) {
    const opener = el("button", { type: "button", class: "link" }, `Show ${plural(earlier, "earlier message")}`);
    const item = el("li", { class: "earlier" }, opener);
    on(opener, {
      click: () => {
        const views = messages.slice(0, earlier).map(messageView);
        item.replaceWith(...views);
        views[0]!.querySelector<HTMLElement>("button")?.focus();
      },
    });
    list.prepend(item);
  }
  return el("div", null, list, others === null ? null : jsonView(others));
}

const ROLES = new Set(["system", "developer", "user", "assistant", "tool", "function"]);

function messageView(message: Message): HTMLElement {
  const { role, content, tool_calls, function_call, tool_call_id, name, ...rest } = message;
  const others = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== undefined));
  const calls = Array.isArray(tool_calls) ? (tool_calls as unknown[]) : [];
  return el(
    "li",
    { class: "message", "data-role": ROLES.has(role) ? role : "other" },
    el(
      "div",
      { class: "message-role" },
      el("bdi", null, role),
      typeof name === "string" && name !== "" ? el("bdi", { class: "message-name" }, name) : null,
      typeof tool_call_id === "string" ? el("span", { class: "message-call", title: "Tool call id" }, tool_call_id) : null,
    ),
    el(
      "div",
      { class: "message-body" },
      contentView(content, role === "system" || role === "developer" ? SHORT_INSTRUCTIONS : SHORT),
      ...calls.map(callView),
      function_call === undefined || function_call === null ? null : callView({ function: function_call }),
      Object.keys(others).length > 0 ? jsonView(others) : null,
    ),
  );
}

function contentView(content: unknown, limit: Limit): Child {
  if (content === null || content === undefined || content === "") return null;
  if (typeof content === "string") return textView(content, limit);
  if (!Array.isArray(content)) return jsonView(content);
  const parts = content.map((part: unknown) =>
    isObject(part) && typeof part["text"] === "string" && Object.keys(part).length <= 2 ? textView(part["text"], limit) : jsonView(part),
  );
  return el("div", null, ...parts);
}

function callView(call: unknown): HTMLElement {
  const body = isObject(call) && isObject(call["function"]) ? call["function"] : null;
  if (body === null || typeof body["name"] !== "string") return jsonView(call);
  const id = isObject(call) && typeof call["id"] === "string" ? call["id"] : null;
  const args = body["arguments"];
  return el(
    "div",
    { class: "tool-call" },
    el(
      "div",
      { class: "tool-call-name" },
      el("span", { class: "call-mark", "aria-label": "calls" }, "→"),
      el("bdi", null, body["name"]),
      id === null ? null : el("span", { class: "message-call", title: "Tool call id" }, id),
    ),
    args === undefined || args === "" ? null : typeof args === "string" ? textView(args) : jsonView(args),
  );
}

// ---- text and JSON ----

/** Text that holds a JSON object or array reads formatted, with the recorded text one click away. */
function textView(value: string, limit = SHORT): HTMLElement {
  const formatted = formattedJson(value);
  if (formatted === null) return block(value, value, null, false, limit);
  const holder = el("div");
  const show = (raw: boolean) => {
    const toggle = el("button", { type: "button", class: "link" }, raw ? "Formatted" : "As recorded");
    on(toggle, {
      click: () => {
        show(!raw);
        holder.querySelector<HTMLElement>(".block-tools button")?.focus();
      },
    });
    replaceChildren(holder, block(raw ? value : formatted, value, toggle, !raw));
  };
  show(false);
  return holder;
}

/** Before a marker's words, where its object stood: a private character, which no recorded text keeps in its display. */
const MARKER = "\uE000";

/** Markers read as words; what is copied is what was recorded. */
function jsonView(value: unknown): HTMLElement {
  const shown = JSON.stringify(value, (_, inner: unknown) => {
    const words = markerText(inner);
    if (words !== null) return `${MARKER}${words}`;
    return typeof inner === "string" ? inner.replaceAll(MARKER, "\uFFFD") : inner;
  }, 2);
  const json = JSON.stringify(value, null, 2) ?? String(value);
  return block(shown ?? json, json, null, true);
}

function formattedJson(value: string): string | null {
  if (!/^\s*[[{]/.test(value)) return null;
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return null;
  }
}

function block(shown: string, copied: string, toggle: HTMLElement | null, isJson: boolean, limit = SHORT): HTMLElement {
  const body = el("pre", { class: isJson ? "json" : "text", dir: "auto" });
  const more = el("div", { class: "block-more" });
  const short = shortLength(shown, limit);
  const show = (length: number) => {
    const visible = shown.slice(0, length);
    replaceChildren(body, ...(isJson && visible.length <= COLOURED_CHARS ? coloured(visible) : [visible.replaceAll(MARKER, "")]));
    if (length < shown.length) body.append(el("span", { class: "cut", "aria-hidden": "true" }, "…"));
    replaceChildren(more, ...lengthControls(shown.length, length, short, (next) => {
      show(next);
      more.querySelector<HTMLElement>("button")?.focus();
    }));
  };
  show(short);
  return el("div", { class: "block" }, el("div", { class: "block-tools" }, toggle, copyButton(copied)), body, more);
}

function lengthControls(total: number, shown: number, short: number, show: (length: number) => void): HTMLElement[] {
  const controls: HTMLElement[] = [];
  if (shown < total) {
    const next = Math.min(total, shown + PIECE_CHARS);
    const label = next === total ? `Show all ${count(total)} characters` : `Show ${count(next - shown)} more of ${count(total)} characters`;
    controls.push(on(el("button", { type: "button", class: "link" }, label), { click: () => show(next) }));
  }
  if (shown > short) {
    controls.push(on(el("button", { type: "button", class: "link" }, "Show less"), { click: () => show(short) }));
  }
  return controls;
}

/** Where a long text is cut at first: never for the sake of a few lines. */
function shortLength(text: string, limit: Limit): number {
  const byLines = lineEnd(text, 0, limit.lines);
  const length = Math.min(byLines, limit.chars);
  const rest = text.length - length;
  if (rest < limit.chars / 4 && lineEnd(text, length, limit.lines / 2) === text.length) return text.length;
  // A cut between the halves of a surrogate pair would show a broken character.
  return length < text.length && /[\uD800-\uDBFF]/.test(text[length - 1] ?? "") ? length - 1 : length;
}

/** Where the line ends that is `lines` lines after `from`, or the end of the text. */
function lineEnd(text: string, from: number, lines: number): number {
  let end = from - 1;
  for (let line = 0; line < lines; line += 1) {
    end = text.indexOf("\n", end + 1);
    if (end < 0) return text.length;
  }
  return end;
}

const JSON_TOKEN = /("(?:[^"\\]|\\.)*"?)(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function coloured(json: string): Child[] {
  const parts: Child[] = [];
  let done = 0;
  for (const token of json.matchAll(JSON_TOKEN)) {
    if (token.index > done) parts.push(json.slice(done, token.index));
    const [whole, quoted, colon] = token;
    if (quoted === undefined) parts.push(el("span", { class: "json-atom" }, whole));
    else if (quoted.startsWith(MARKER, 1)) parts.push(el("span", { class: "json-marker" }, quoted.slice(MARKER.length + 1, -1)));
    else parts.push(el("span", { class: colon === undefined ? "json-text" : "json-key" }, quoted), colon ?? null);
    done = token.index + whole.length;
  }
  parts.push(json.slice(done));
  return parts;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
