// From values to JSON text, whatever the host hands over.
//
// The quick way is JSON.stringify with a replacer that changes nothing and only looks. What it cannot carry
// (a cycle, a function, a getter that throws) or what must not pass unchanged (a key that begins with `$`, which
// the wire reserves) is written by `write`, slower, with `{"$bad": why}` in the place of what has no JSON.

/** Deeper values are cut here; the core cuts at the server's limit, but a stack is shorter than some cycles of toJSON. */
const DEPTH_MAX = 60;

/** The JSON text of `value`, or undefined where JSON has none and no marker is due, which is `undefined` alone. */
export function toText(value: unknown): string | undefined {
  try {
    const text = JSON.stringify(value, look);
    if (text !== undefined || value === undefined) return text;
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
export function toObjectText(members: Record<string, unknown>): string {
  const text = toText(members);
  return text?.[0] === "{" ? text : "{}";
}

/** Adds a member whose value is JSON text already; `undefined` adds none. */
export function withMember(object: string, key: string, text: string | undefined): string {
  if (text === undefined) return object;
  return `${object.slice(0, -1)}${object.length > 2 ? "," : ""}"${key}":${text}}`;
}

/** The members of what should be an object, read once; none if reading them throws. */
export function membersOf<T>(value: T): Partial<T> {
  try {
    return { ...value };
  } catch {
    return {};
  }
}

/** Whatever should be a name, as one. */
export function toName(value: unknown): string {
  try {
    return String(value ?? "unnamed");
  } catch {
    return "unnamed";
  }
}

function look(key: string, value: unknown): unknown {
  const type = typeof value;
  if (key[0] === "$" || type === "function" || type === "symbol" || type === "bigint") throw look;
  return value;
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
  if (Array.isArray(value)) {
    const elements: string[] = [];
    for (let index = 0; index < value.length; index++) elements.push(writeSafely(value, index, inside) ?? "null");
    return `[${elements.join()}]`;
  }
  // String, Number and Boolean objects are written as what they hold.
  if (value instanceof String || value instanceof Number || value instanceof Boolean) return JSON.stringify(value);
  const members: string[] = [];
  for (const key of Object.keys(value)) {
    const text = writeSafely(value, key, inside);
    if (text !== undefined) members.push(`${JSON.stringify(key[0] === "$" ? `$${key}` : key)}:${text}`);
  }
  return `{${members.join()}}`;
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
