// The HTTP API as the command line uses it: the key from the environment or a file that nobody else can read, pages by
// cursor or by `Link`, refusals in the server's own words.

import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Used wrongly: exit code 2. */
export class Misuse extends Error {}

/** The server refused: exit code 3. */
export class Refusal extends Error {
  status;
  code;
  /** Seconds. */
  retryAfter;

  /** @param {string} message @param {{ status?: number, code?: string, retryAfter?: number }} [reply] */
  constructor(message, { status, code, retryAfter } = {}) {
    super(message);
    [this.status, this.code, this.retryAfter] = [status, code, retryAfter];
  }
}

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

/** Waits between attempts, in milliseconds; a `Retry-After` is longer. */
const RETRY_MS = [500, 1_000, 2_000, 4_000, 8_000];
/** What may go away by itself. */
const PASSING = [429, 500, 502, 503, 504];
/** A wait that a server may ask for, in seconds; beyond, whoever runs the command decides. */
const RETRY_AFTER_MAX_S = 120;
/** Whether the server answered yet: one that never did is more likely mistyped than out of order. */
let reached = false;

/** @returns {Promise<Response>} */
export async function ask(url, key, headers = {}) {
  const response = await fetch(url, { headers: { authorization: `Bearer ${key}`, ...headers }, redirect: "error" });
  return judged(response);
}

/** A page's text and where the next one is. What fails in passing is tried again: asking twice changes nothing. */
async function page(url, key) {
  return retried(async () => {
    const response = await judged(await fetch(url, { headers: { authorization: `Bearer ${key}` }, redirect: "error" }));
    const text = await response.text();
    const link = /^<([^>]+)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
    return { text, next: link === undefined ? undefined : new URL(link, url) };
  });
}

/** Sends lines, again if that fails in passing: importing twice changes nothing. */
export function send(url, key, body) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" };
  return retried(async () => judged(await fetch(url, { method: "POST", headers, body, redirect: "error" })));
}

async function retried(attempt) {
  for (let failures = 0; ; failures++) {
    try {
      const result = await attempt();
      reached = true;
      return result;
    } catch (error) {
      const passing = error instanceof Refusal ? PASSING.includes(error.status) && error.code !== "budget_exhausted" : error instanceof TypeError && reached;
      const asked = (error.retryAfter ?? 0) * 1_000;
      if (!passing || failures === RETRY_MS.length || asked > RETRY_AFTER_MAX_S * 1_000) throw error;
      // A little apart from each other, where many were turned away at once.
      const wait = Math.max(asked, RETRY_MS[failures] * (0.75 + Math.random() / 2));
      process.stderr.write(`${error.cause?.message ?? error.message}; trying again in ${(wait / 1_000).toFixed(1)} s\n`);
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

async function judged(response) {
  if (response.ok) return response;
  const text = await response.text();
  let detail = text.slice(0, 500);
  let code;
  try {
    const problem = JSON.parse(text);
    code = problem.code;
    detail = `${code}${problem.field ? ` (${problem.field})` : ""}${problem.line ? `, line ${problem.line}` : ""}: ${problem.detail}`;
  } catch {
    // No problem document: whatever stands before the worker answered.
  }
  throw new Refusal(`the server answered ${response.status}: ${detail}`, { status: response.status, code, retryAfter: Number(response.headers.get("retry-after")) || 0 });
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

/** Pages, one after the other, as the header `Link` names them. */
export async function* pages(url, key) {
  for (let next = url; next !== undefined; ) {
    const found = await page(next, key);
    yield found;
    next = found.next;
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
