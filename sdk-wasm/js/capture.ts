// From values to JSON text, whatever the host hands over.
//
// The quick way is JSON.stringify, without a replacer, which would take it three times as long, and a look at the value
// afterwards. What JSON cannot carry (a cycle, a function, a getter that throws) or what must not pass unchanged (a key that
// begins with `$`, which the wire reserves) is written by `write`, slower, with `{"$bad": why}` in the place of what has no JSON.

import { REFERENCE } from "./blob.js";
import type { RecordedError } from "./types.js";

/** Deeper values are cut here; the core cuts at the server's limit, but a stack is shorter than some cycles of toJSON. */
const DEPTH_MAX = 60;
/** Longer texts are not even passed to the core. In UTF-16 units. */
const TEXT_MAX = 1 << 22;

/** The JSON text of `value`, or undefined where JSON has none and no marker is due, which is `undefined` alone. */
export function toText(value: unknown): string | undefined {
  const text = toTextOfAnyLength(value);
  return text && text.length > TEXT_MAX ? `{"$cut":{"bytes":${new Blob([text]).size}}}` : text;
}

function toTextOfAnyLength(value: unknown): string | undefined {
  try {
    const text = JSON.stringify(value);
    if (isPlain(value)) return text;
  } catch {
    // Slower, then.
  }
  try {
    return write(value, [], "");
  } catch {
    return bad("threw");
  }
}

/** The JSON text of an object with `members`, of which those that are undefined are left out. */
export function toObjectText(members: object): string {
  const text = toText(members);
  return text?.[0] === "{" ? text : "{}";
}

/** The members of what should be an object, read once; none if reading them throws. */
export function membersOf<T>(value: T): Partial<T> {
  try {
    return { ...value };
  } catch {
    return {};
  }
}

/** What JSON would leave out. */
export function membersOfError({ name, message, stack }: Error): RecordedError {
  return { type: name, message, stack };
}

/** Whatever should be a name, as one. */
export function toName(value: unknown): string {
  try {
    return String(value ?? "unnamed");
  } catch {
    return "unnamed";
  }
}

/** Whether JSON.stringify, which has found no cycle, carries all of a value: other objects may have been shown as `{}`. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || !value) return typeof value !== "function" && typeof value !== "symbol";
  const members = value as Record<string, unknown>;
  if (members["toJSON"]) return false;
  if (Array.isArray(value)) return value.every(isPlain);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype && prototype !== Object.prototype) return false;
  for (const key in members) if (key[0] === "$" || !isPlain(members[key])) return false;
  return true;
}

function write(value: unknown, parents: object[], key: string): string | undefined {
  const json = callToJson(value, key);
  switch (typeof json) {
    case "undefined":
      return undefined;
    case "function":
    case "symbol":
      return bad(typeof json);
    case "bigint":
      return `{"$bad":"bigint","value":"${json}"}`;
    case "object":
      return json === null ? "null" : writeObject(json, parents);
    default:
      return JSON.stringify(json);
  }
}

function callToJson(value: unknown, key: string): unknown {
  const toJson = (value as { toJSON?: unknown } | null | undefined)?.toJSON;
  return typeof toJson === "function" && typeof value !== "function" ? toJson.call(value, key) : value;
}

function writeObject(value: object, parents: object[]): string {
  if (parents.includes(value)) return bad("cycle");
  if (parents.length >= DEPTH_MAX) return bad("too_deep");
  const inside = [...parents, value];
  const list = value instanceof Map || value instanceof Set ? [...value] : value;
  if (Array.isArray(list)) return writeList(list, inside);
  const special = writeSpecial(value);
  if (special) return special;
  const members: string[] = [];
  for (const key of Object.keys(value)) {
    const text = writeSafely(value, key, inside);
    if (text !== undefined) members.push(`${JSON.stringify(key[0] === "$" ? `$${key}` : key)}:${text}`);
  }
  return `{${members.join()}}`;
}

function writeList(list: unknown[], inside: object[]): string {
  const elements: string[] = [];
  for (let index = 0; index < list.length; index++) elements.push(writeSafely(list, index, inside) ?? "null");
  return `[${elements.join()}]`;
}

/** What JSON would show as `{}`, or as what it is not. */
function writeSpecial(value: object): string | undefined {
  // String, Number and Boolean objects are written as what they hold.
  if (value instanceof String || value instanceof Number || value instanceof Boolean) return JSON.stringify(value);
  if (value instanceof Error) return JSON.stringify(membersOfError(value));
  if (Object.getPrototypeOf(value) === REFERENCE) return JSON.stringify({ $blob: value });
  if (typeof Blob === "function" && value instanceof Blob) return JSON.stringify({ $blob: { bytes: value.size, type: value.type } });
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return JSON.stringify({ $blob: { bytes: value.byteLength } });
  if (typeof Node === "function" && value instanceof Node) return `{"$bad":"node","value":${JSON.stringify(value.nodeName)}}`;
  if (value instanceof Promise) return bad("promise");
  return undefined;
}
/** One member: a getter, a proxy or a toJSON that throws costs this member and no other. */
function writeSafely(object: object, key: string | number, parents: object[]): string | undefined {
  try {
    return write((object as Record<string | number, unknown>)[key], parents, String(key));
  } catch {
    return bad("threw");
  }
}

function bad(why: string): string {
  return `{"$bad":"${why}"}`;
}
