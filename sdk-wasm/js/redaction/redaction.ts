// Takes out of an event what must not leave the page, before anything else sees the event.
//
// First come the host's own rules, an entry of its own that nobody else pays for (`rules.ts`), then the search for secrets
// (`secrets.ts`). Where either fails the event is dropped; of a start or an end its structure stays.

import type { RedactionRules } from "../types.js";
import { EVENT } from "../core.js";
import { randomHex } from "../random.js";
import type { Rules } from "./rules.js";
import { findSecrets } from "./secrets.js";

/** So many marks of an execution are remembered. */
const MARKS_MAX = 10_000;
/** Shorter inputs are searched with the rest of their event: two searches would take longer than one. In UTF-16 units. */
const LONG = 2_000;

/** The texts of an event's members whose values are the host's own: a marker may stand in them. */
export type Contents = Record<string, string | undefined>;

/**
 * The marks of one execution: equal values have equal marks, and nothing can be told from a mark. And, under a bracket each, its last
 * long input as it came and as it went on, without what closes it, until the execution ends.
 */
export type Marks = Map<string, string>;

export function markOf(marks: Marks, kind: string, value: string): string {
  const key = `${kind} ${value}`;
  let mark = marks.get(key);
  if (!mark) {
    if (marks.size > MARKS_MAX) marks.clear();
    marks.set(key, (mark = randomHex(4)));
  }
  return mark;
}

export class Redaction {
  readonly #rules: Rules | undefined;

  /** @throws TypeError if `rules` are none, lest what they forbid be recorded */
  constructor(rules: RedactionRules | undefined) {
    if (rules && typeof (rules as Rules).event !== "function") throw new TypeError("stepseal: `redaction` must be made by `rules` of stepseal/redaction");
    this.#rules = rules as Rules | undefined;
  }

  /** The text of an event's fields, of which `bare` is the text without its contents; or why there is none. */
  event(type: number, bare: string, contents: Contents, marks: Marks): string {
    const redact: Redact = (json, contentsAt) => this.#redact(json, contentsAt, marks);
    try {
      if (this.#rules) return this.#rules.event(type, bare, contents, marks, redact);
      const { input = "", ...rest } = contents;
      if (input.length < LONG) return redact(join(bare, contents), bare.length);
      return join(redact(join(bare, rest), bare.length), { input: this.#redactGrown(input, marks) });
    } catch {
      return frame(type, bare, "?");
    }
  }

  /**
   * Takes secrets out of an input, but does not search again what the execution's last one began with: agents send their whole history
   * each time. What is compared ends before the brackets that close a text, `]`, `}` or `]}`, so outside strings, and if a comma or
   * a bracket follows, behind a whole element or member. No secret goes beyond its string or number.
   */
  #redactGrown(json: string, marks: Marks): string {
    const last = marks.get("[")!;
    const goesOn = json.startsWith(last) && /[,\]}]/.test(json[last.length]!);
    const text = goesOn ? marks.get("]") + this.#redact(json.slice(last.length), -1, marks) : this.#redact(json, -1, marks);
    const end = json.slice(-2).search(/]?}?$/) - 2;
    marks.set("[", json.slice(0, end)).set("]", text.slice(0, end));
    return text;
  }

  #redact(json: string, contentsAt: number, marks: Marks): string {
    let out = "";
    let [written, at, inString] = [0, 0, false];
    for (const { start: begin, end, kind } of findSecrets(json, this.#rules?.kinds)) {
      // What begins within what is gone already goes too, but for the host behind a password, which looks like an address.
      if (end <= written || (begin < written && json[written] === "@")) continue;
      const start = Math.max(begin, written);
      for (; at < start; at++) {
        if (json[at] === "\\") at++;
        else if (json[at] === '"') inString = !inString;
      }
      const mark = markOf(marks, kind, json.slice(start, end));
      const isWhole = inString && json[start - 1] === '"' && json[start - 2] !== "\\" && json[end] === '"' && json[end + 1] !== ":";
      // A string's quotes go with all of it; what is not in one has none.
      const quotes = +isWhole;
      const isValue = isWhole || !inString;
      const text = `[redacted ${kind} ${mark}]`;
      out += json.slice(written, start - quotes);
      if (isValue) out += start > contentsAt ? `{"$redacted":{"kind":"${kind}","mark":"${mark}"}}` : `"${text}"`;
      else out += text;
      written = at = end + quotes;
      if (isWhole) inString = false;
    }
    return out + json.slice(written);
  }
}

/** Takes secrets out of JSON text; a value of which nothing is left becomes a marker if it stands behind `contentsAt`. */
export type Redact = (json: string, contentsAt: number) => string;

/** The text of an event's fields. Its contents stand behind all that `bare` has. */
export function join(bare: string, contents: Contents): string {
  let text = bare.slice(0, -1);
  for (const name in contents) if (contents[name]) text += `${text.length > 1 ? "," : ""}"${name}":${contents[name]}`;
  return `${text}}`;
}

/** Nothing but its structure is left of a start or an end, and nothing at all of other events but the reason, which the core knows. */
export function frame(type: number, bare: string, reason: string): string {
  if (type !== EVENT.start && type !== EVENT.end) return reason;
  const { at, status, parent, rate } = JSON.parse(bare);
  return JSON.stringify({ at, status, parent, rate, name: type === EVENT.start ? "[redacted content]" : undefined });
}
