// A web server for what a bundler has made, with the headers that a test wants.

import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json",
};

export class Site {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Serves `folder`; `headersOf` gives more headers for a path. */
  static async serve(folder: string, headersOf: (path: string) => Record<string, string> = () => ({})): Promise<Site> {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, "http://localhost");
      const file = normalize(pathname).endsWith("/") ? join(pathname, "index.html") : pathname;
      try {
        const bytes = readFileSync(join(folder, normalize(file)));
        response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", ...headersOf(pathname) }).end(bytes);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Site(server);
  }

  get origin(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
