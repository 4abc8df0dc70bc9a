// The host's own rules for what must not leave the page: paths, patterns, a hook, no content at all. They are applied to
// an event's values, before secrets are looked for in what is left.

import type { RedactableEvent, RedactionKind, RedactionOptions, RedactionRules } from "../types.js";
import { EVENT } from "../core.js";
import { type Contents, frame, join, markOf, type Marks, type Redact } from "./redaction.js";

const EVENT_NAMES = Object.keys(EVENT);

/** What can be looked for: by the recorder without being asked (`secrets.ts`), or here, if the host wants it. */
const KINDS: Record<RedactionKind, (() => RegExp) | null> = {
  api_key: null,
  private_key: null,
  jwt: null,
  authorization: null,
  connection_string: null,
  secret: null,
  email: null,
  card: null,
  phone: () =>
    /(?<![\w.+])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)|\d)(?:[ .-]{0,2}\d){5,11}|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4})(?![\w])/,
  ip: () =>
    /(?<![\w.:])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}|(?:[\da-f]{1,4}:){7}[\da-f]{1,4}|(?=[\da-f]{0,4}:[\da-f:]*[\da-f])(?:[\da-f]{1,4}:){0,6}:(?::?[\da-f]{1,4}){1,7})(?![\w:]|\.\d)/i,
};
/** What stays where the host wants no content: what an event is, when it was and what it cost. */
const STRUCTURE =
  "id kind name at duration_ms status parent model provider usage cost_usd ttft_ms tool agent pipeline user session environment release tags rate state level step value error".split(" ");
/** The fields in which a marker may stand; elsewhere the server wants text. */
const CONTENTS = ["input", "output", "reasoning", "metadata", "body", "comment"];

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Fields = { [key: string]: Json };

/** A host's rules, as `redaction.ts` asks them. */
export class Rules implements RedactionRules {
  /** Kinds that are turned on or off. */
  readonly kinds: Partial<Record<RedactionKind, boolean>>;
  readonly #deny: RegExp[];
  readonly #allow: RegExp[];
  readonly #patterns: [kind: string, pattern: RegExp][];
  readonly #hook: RedactionOptions["hook"];
  readonly #keepsContent: boolean;
  readonly #isIdle: boolean;

  /** @throws TypeError naming what cannot be read */
  constructor({ kinds = {}, deny = [], allow = [], patterns = [], content = "all", hook }: RedactionOptions) {
    for (const kind of Object.keys(kinds)) if (!Object.keys(KINDS).includes(kind)) refuse("kinds", kind);
    if (content !== "all" && content !== "none") refuse("content", content);
    if (hook !== undefined && typeof hook !== "function") refuse("hook", hook);
    this.kinds = kinds;
    this.#deny = Array.from(deny, (path) => toPattern("deny", path));
    this.#allow = Array.from(allow, (path) => toPattern("allow", path));
    const optional = Object.entries(KINDS).flatMap(([kind, pattern]) => (pattern && kinds[kind as RedactionKind] ? [{ kind, pattern: pattern() }] : []));
    this.#patterns = [...patterns, ...optional].map(({ kind, pattern }) => {
      if (!/^[a-z\d_]{1,32}$/.test(kind) || !(pattern instanceof RegExp)) refuse("patterns", kind);
      return [kind, new RegExp(pattern.source, `${pattern.flags.replace(/[gy]/g, "")}g`)];
    });
    this.#hook = hook;
    this.#keepsContent = content === "all";
    this.#isIdle = !hook && this.#keepsContent && ![...this.#deny, ...this.#allow, ...this.#patterns].length;
  }

  /** As {@link Redaction.event}; `redact` takes out the secrets that the rules leave. */
  event(type: number, bare: string, contents: Contents, marks: Marks, redact: Redact): string {
    if (this.#isIdle) return redact(join(bare, contents), bare.length);
    const fields = this.#askHook(EVENT_NAMES[type]!, JSON.parse(join(bare, contents)));
    if (!fields) return frame(type, bare, "!");
    const mark = (kind: string, value: Json): string => markOf(marks, kind, typeof value === "string" ? value : JSON.stringify(value));
    const allowed: string[] = [];
    const { ...rest } = this.#walkFields(fields, { mark, allowed });
    const texts: Contents = {};
    for (const name of Object.keys(contents)) {
      texts[name] = JSON.stringify(rest[name]);
      delete rest[name];
    }
    const own = JSON.stringify(rest);
    return redact(join(own, texts), own.length).replace(/\{"\$allow":(\d+)\}/g, (_, index) => allowed[index]!);
  }

  #askHook(type: string, fields: Fields): Fields | null {
    if (!this.#hook) return fields;
    const event = { ...structuredClone(fields), type: type as RedactableEvent["type"] };
    const answer: unknown = this.#hook(event);
    if (answer === null) return null;
    if (answer !== undefined && (typeof answer !== "object" || Array.isArray(answer) || answer instanceof Promise)) throw answer;
    // Its own copy, changed or not, or another: JSON makes either plain.
    const { type: _, ...wanted } = JSON.parse(JSON.stringify(answer ?? event));
    return wanted;
  }

  #walkFields(fields: Fields, out: Out): Fields {
    const walk = (key: string, value: Json): Json => {
      if (!this.#keepsContent) {
        if (!STRUCTURE.includes(key)) return { $redacted: { kind: "content" } };
        if (key === "error") value = { type: (value as Fields)["type"] ?? null, message: "[redacted content]" };
      }
      return this.#walk(value, `.${toStep(key)}`, CONTENTS.includes(key), false, out);
    };
    return Object.fromEntries(Object.entries(fields).map(([key, value]) => [this.#writeKey(key, false, out), walk(key, value)]));
  }

  #walk(value: Json, path: string, isContent: boolean, isAllowed: boolean, out: Out): Json {
    const matches = (rule: RegExp): boolean => rule.test(path);
    if (this.#deny.some(matches)) {
      if (isContent) return { $redacted: { kind: "path", mark: out.mark("path", value) } };
      return typeof value === "string" ? `[redacted path ${out.mark("path", value)}]` : null;
    }
    if (!isAllowed && this.#allow.some(matches)) {
      return { $allow: out.allowed.push(JSON.stringify(this.#walk(value, path, isContent, true, out))) - 1 };
    }
    const inside = (key: string | number, member: Json): Json => this.#walk(member, `${path}.${toStep(key)}`, isContent, isAllowed, out);
    if (Array.isArray(value)) return value.map((element, index) => inside(index, element));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, member]) => [this.#writeKey(key, isAllowed, out), inside(key, member)]));
    }
    if (typeof value !== "string" || isAllowed) return value;
    const whole = isContent && this.#patterns.find(([, pattern]) => value && value.match(pattern)?.[0] === value);
    return whole ? { $redacted: { kind: whole[0], mark: out.mark(whole[0], value) } } : this.#replace(value, out);
  }

  /** A hook's key may look like what stands for an allowed value: it gains a `$`, as recorded keys have. */
  #writeKey(key: string, isAllowed: boolean, out: Out): string {
    const own = key === "$allow" ? `$${key}` : key;
    return isAllowed ? own : this.#replace(own, out);
  }

  #replace(text: string, { mark }: Out): string {
    return this.#patterns.reduce(
      (rest, [kind, pattern]) => rest.replace(pattern, (found) => found && `[redacted ${kind} ${mark(kind, found)}]`),
      text,
    );
  }
}

/** What the rules write beside the fields. */
interface Out {
  mark(kind: string, value: Json): string;
  /** What no search may touch; `{"$allow":<index>}` stands in its place, as no recorded key begins with one `$`. */
  allowed: string[];
}

/** A dot in a key must not look like one between keys. */
function toStep(key: string | number): string {
  return String(key).replaceAll(".", "\0");
}

/** A path: names, `*` and `**` with dots between them, indexes in brackets. */
const isPath = (path: string): boolean =>
  /^(?:\$(?=[.[])\.?)?(?:[^.*[\]]+|\*\*?|(?<=^\$?)\[(?:\d+|\*)\])(?:\.(?:[^.*[\]]+|\*\*?)|\[(?:\d+|\*)\])*$/.test(path);

/** Reads a path such as `input.user.email`, `$.input.messages[*].content` or `**.ssn`. */
function toPattern(option: string, path: string): RegExp {
  if (typeof path !== "string" || !isPath(path)) refuse(option, path);
  const steps = path.replace(/^\$(?=[.[])/, "").match(/[^.[\]]+/g)!.map((step) => {
    if (step === "**") return "(?:\\.[^.]*)*";
    return `\\.${step === "*" ? "[^.]*" : step.replace(/[$()+?\\^{|}]/g, "\\$&")}`;
  });
  return new RegExp(`^${steps.join("")}$`);
}

function refuse(option: string, value: unknown): never {
  throw new TypeError(`stepseal: \`redaction.${option}\` cannot have ${JSON.stringify(value) ?? typeof value}`);
}
