// The HTTP API as the command line uses it: the key from the environment or a file that nobody else can read, pages by
// cursor or by `Link`, refusals in the server's own words.

import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Used wrongly: exit code 2. */
export class Misuse extends Error {}

/** The server refused: exit code 3. */
export class Refusal extends Error {}

const KEY_FILE = join(homedir(), ".config", "stepseal", "key");

/** The API key: STEPSEAL_KEY, or the file that STEPSEAL_KEY_FILE names, or ~/.config/stepseal/key. Never an argument, which every process could read. */
export function readKey(env = process.env) {
  if (env.STEPSEAL_KEY) return env.STEPSEAL_KEY.trim();
  const file = env.STEPSEAL_KEY_FILE ?? KEY_FILE;
  let mode;
  try {
    mode = statSync(file).mode;
  } catch {
    throw new Misuse("set STEPSEAL_KEY to an API key of role viewer or admin, or keep it in ~/.config/stepseal/key (mode 600)");
  }
  if (process.platform !== "win32" && (mode & 0o077) !== 0) throw new Misuse(`${file} can be read by others: chmod 600 it`);
  return readFileSync(file, "utf8").trim();
}

/** A path of the worker, which must be reached over https unless it is here. */
export function target(base, path, query = {}) {
  let url;
  try {
    url = new URL(path, base);
  } catch {
    throw new Misuse(`${base} is no URL`);
  }
  if (url.protocol !== "https:" && !["localhost", "127.0.0.1", "[::1]"].includes(url.hostname)) throw new Misuse("the key is sent over https only");
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  return url;
}

/** @returns {Promise<Response>} */
export async function ask(url, key, headers = {}) {
  const response = await fetch(url, { headers: { authorization: `Bearer ${key}`, ...headers }, redirect: "error" });
  if (response.ok) return response;
  const text = await response.text();
  let detail = text;
  try {
    const { code, detail: said, field } = JSON.parse(text);
    detail = `${code}${field ? ` (${field})` : ""}: ${said}`;
  } catch {
    // No problem document: whatever stands before the worker answered.
  }
  throw new Refusal(`the server answered ${response.status}: ${detail}`);
}

/** The items of a list, page after page. */
export async function* items(base, path, member, query, key) {
  let cursor;
  do {
    /** @type {any} */
    const page = await (await ask(target(base, path, { ...query, cursor }), key)).json();
    yield* page[member];
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}

/** Texts, page after page, as the header `Link` names them. */
export async function* linked(url, key) {
  for (let next = url; next !== undefined; ) {
    const response = await ask(next, key);
    yield await response.text();
    const link = /^<([^>]+)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
    next = link === undefined ? undefined : new URL(link, url);
  }
}

/** What is stored, as it is stored, for ever: a connection that ends is resumed. */
export async function* follow(base, query, key, { retryMs = 1_000 } = {}) {
  let last;
  for (;;) {
    let response;
    try {
      response = await ask(target(base, "/v1/live", query), key, last === undefined ? {} : { "last-event-id": last });
    } catch (error) {
      if (error instanceof Refusal || last === undefined) throw error;
      await new Promise((done) => setTimeout(done, retryMs));
      continue;
    }
    try {
      for await (const event of events(response.body)) {
        last = event.id ?? last;
        yield event.data;
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
}

async function* events(body) {
  let text = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = Object.fromEntries(text.slice(0, end).split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
      text = text.slice(end + 2);
      if (fields.data !== undefined) yield { id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}
