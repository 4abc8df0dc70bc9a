// Exports page by page and imports slice by slice, as any client of the API does them.

import type { Api, Reply } from "./api.ts";

export type Page = { status: number; headers: Headers; text: string };

export async function page(api: Api, path: string): Promise<Page> {
  const response = await fetch(api.url + path, { headers: { authorization: `Bearer ${api.key}` } });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Where the page says that the next one is. */
export const nextOf = ({ headers }: Page): string | undefined => /^<([^>]+)>; rel="next"$/.exec(headers.get("link") ?? "")?.[1];

/** The texts of all pages. */
export async function pages(api: Api, path: string): Promise<string[]> {
  const texts: string[] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const got: Page = await page(api, next);
    if (got.status !== 200) throw new Error(`GET ${next}: ${got.status} ${got.text}`);
    texts.push(got.text);
    next = nextOf(got);
  }
  return texts;
}

export const exported = async (api: Api, path: string): Promise<string> => (await pages(api, path)).join("");

export const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

export const batches = (text: string): any[] => lines(text).map((line) => JSON.parse(line)).filter(({ t }) => t === "batch");

/** One request of an import. */
export const importSlice = (api: Api, text: string, key?: string): Promise<Reply> =>
  api.request("POST", `/v1/project/import${key === undefined ? "" : `?key=${encodeURIComponent(key)}`}`, text, { "content-type": "application/x-ndjson" });

/** Imports a file; the codes of its lines, counted. */
export async function imported(api: Api, text: string, key?: string): Promise<Record<string, number>> {
  const all = lines(text);
  const codes: Record<string, number> = {};
  for (let from = 0; from < all.length; from += 8) {
    const reply = await importSlice(api, all.slice(from, from + 8).join("\n") + "\n", key);
    if (reply.status !== 200) throw new Error(`import: ${reply.status} ${JSON.stringify(reply.json)}`);
    for (const { code } of reply.json.results) codes[code] = (codes[code] ?? 0) + 1;
  }
  return codes;
}
