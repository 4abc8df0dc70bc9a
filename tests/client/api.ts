// The HTTP API as any client meets it. Every reply is held to the OpenAPI document.

import { checkReply } from "./document.ts";

export type Reply = { status: number; headers: Headers; json: any };

export class Api {
  readonly url: string;
  readonly key: string | undefined;

  constructor(url: string, key?: string) {
    this.url = url.replace(/\/$/, "");
    this.key = key;
  }

  withKey(key: string | undefined): Api {
    return new Api(this.url, key);
  }

  async request(method: string, path: string, body?: BodyInit, headers: Record<string, string> = {}): Promise<Reply> {
    const authorization: Record<string, string> = this.key ? { authorization: `Bearer ${this.key}` } : {};
    const response = await fetch(this.url + path, { method, body, headers: { ...authorization, ...headers } });
    const text = await response.text();
    const json = text ? JSON.parse(text) : undefined;
    await checkReply(this.url, method, path, response, json);
    return { status: response.status, headers: response.headers, json };
  }

  get(path: string): Promise<Reply> {
    return this.request("GET", path);
  }

  /** Sends a sealed batch as a page does. */
  sendBatch(sealed: Uint8Array, headers: Record<string, string> = {}): Promise<Reply> {
    return this.request("POST", "/v1/batches", new Uint8Array(sealed), { "content-type": "text/plain", ...headers });
  }

  /** Every page of a list route's items. */
  async all(path: string, member: string): Promise<any[]> {
    const items = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor ? `${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}` : "";
      const reply = await this.get(path + query);
      if (reply.status !== 200) throw new Error(`GET ${path}: ${reply.status} ${JSON.stringify(reply.json)}`);
      items.push(...reply.json[member]);
      cursor = reply.json.next_cursor;
    } while (cursor);
    return items;
  }
}
