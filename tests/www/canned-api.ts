/**
 * Serves www/dist as the platform does (paths without a file get the one document, `_headers`
 * apply) and, under /v1, replies that a test dictates: states that a real worker reaches only by
 * hours of work or by damage. What the real worker answers is the end-to-end tests' matter.
 */

import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../../www/dist", import.meta.url));
const TYPES: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".wasm": "application/wasm" };

export interface ApiRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly cookie: string | undefined;
  readonly csrf: string | undefined;
  readonly body: string;
}

export interface Reply {
  readonly status?: number;
  readonly body: unknown;
  readonly setCookie?: string;
}

export interface CannedSite {
  readonly url: string;
  /** Every request under /v1, oldest first. */
  readonly requests: ApiRequest[];
  close(): Promise<void>;
}

export function problem(status: number, code: string, detail: string): Reply {
  return { status, body: { type: `urn:stepseal:problem:${code}`, title: code, status, detail, code } };
}

export async function serveSite(answer: (path: string, query: URLSearchParams, request: ApiRequest) => Reply): Promise<CannedSite> {
  const requests: ApiRequest[] = [];
  const headers = siteHeaders();
  const server = createServer(async (request: IncomingMessage, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://site");
    if (pathname.startsWith("/v1/")) {
      const csrf = request.headers["stepseal-csrf"] as string | undefined;
      const asked = { method: request.method ?? "GET", url: request.url ?? "", cookie: request.headers.cookie, csrf, body: await text(request) };
      requests.push(asked);
      const { status = 200, body, setCookie } = answer(pathname, searchParams, asked);
      response.writeHead(status, { "content-type": status < 400 ? "application/json" : "application/problem+json", ...(setCookie ? { "set-cookie": setCookie } : {}) });
      response.end(JSON.stringify(body));
      return;
    }
    const file = extname(pathname) === "" ? "/index.html" : pathname;
    response.writeHead(200, { ...headers, "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    response.end(readFileSync(join(DIST, file)));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () => new Promise((closed) => { server.close(() => closed()); server.closeAllConnections(); }),
  };
}

/** The headers that `_headers` gives to every path. */
export function siteHeaders(): Record<string, string> {
  const [, rules = ""] = readFileSync(join(DIST, "_headers"), "utf8").split(/^\/\*$/m);
  const [forAll = ""] = rules.split(/^\S/m);
  return Object.fromEntries([...forAll.matchAll(/^ {2}([\w-]+): (.+)$/gm)].map(([, name, value]) => [name!, value!]));
}
