// Readers of the live feed, over both of its transports, good and bad.

import { randomBytes } from "node:crypto";
import { get, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";

/** A reader, and what it was told so far. */
export class LiveReader {
  readonly messages: any[] = [];
  readonly ended: Promise<string>;
  #close: () => void;
  #waiting: (() => void)[] = [];

  private constructor(start: (take: (message: any) => void, end: (why: string) => void) => () => void) {
    let end!: (why: string) => void;
    this.ended = new Promise((resolve) => (end = resolve));
    this.#close = start((message) => {
      this.messages.push({ ...message, arrived: performance.now() });
      for (const wake of this.#waiting.splice(0)) wake();
    }, end);
  }

  /** Over a WebSocket. Every so many messages it says what was read, as a reader must; null never does. */
  static async socket(url: string, key: string, query = "", acknowledgeEvery: number | null = 1): Promise<LiveReader> {
    // Node's own WebSocket takes headers; its type does not say so.
    const socket = new (WebSocket as any)(`${url.replace(/^http/, "ws")}/v1/live${query}`, { headers: { authorization: `Bearer ${key}` } }) as WebSocket;
    let count = 0;
    const reader = new LiveReader((take, end) => {
      socket.addEventListener("message", ({ data }) => {
        const message = JSON.parse(String(data));
        take(message);
        count += 1;
        if (acknowledgeEvery !== null && count % acknowledgeEvery === 0 && message.cursor !== undefined) socket.send(JSON.stringify({ ack: message.cursor }));
      });
      socket.addEventListener("close", ({ code, reason }) => end(`${code} ${reason}`));
      return () => socket.close();
    });
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("error", () => reject(new Error("the socket did not open")));
    });
    return reader;
  }

  /** Over server-sent events. */
  static async events(url: string, key: string, query = "", lastEventId?: string): Promise<LiveReader> {
    const stop = new AbortController();
    const headers = { authorization: `Bearer ${key}`, ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) };
    const response = await fetch(`${url}/v1/live${query}`, { headers, signal: stop.signal });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    return new LiveReader((take, end) => {
      void readEvents(response, take).then(() => end("ended"), () => end("broken"));
      return () => stop.abort();
    });
  }

  async until(count: number, milliseconds = 8_000): Promise<any[]> {
    const deadline = performance.now() + milliseconds;
    while (this.messages.length < count) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${this.messages.length} of ${count} messages came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => (clearTimeout(timer), resolve()));
      });
    }
    return this.messages;
  }

  close(): void {
    this.#close();
  }
}

async function readEvents(response: Response, take: (message: any) => void): Promise<void> {
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream() as any) as any) {
    text += chunk;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const data = fields.find((field) => field.startsWith("data: "));
      if (data) take({ ...JSON.parse(data.slice(6)), id: fields.find((field) => field.startsWith("id: "))?.slice(4) });
    }
  }
}

/** A socket that takes what comes and never says a word, not even when it is closed. */
export class DeafReader {
  text = "";
  #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => (this.text += bytes.toString("latin1")));
    // The other side may cut it off.
    socket.on("error", () => {});
  }

  static async connect(url: string, key: string, path: string): Promise<DeafReader> {
    const { hostname, port, host } = new URL(url);
    const socket = connect(Number(port), hostname);
    const reader = new DeafReader(socket);
    socket.write([
      `GET ${path} HTTP/1.1`, `host: ${host}`, `authorization: Bearer ${key}`, "upgrade: websocket", "connection: upgrade",
      "sec-websocket-version: 13", `sec-websocket-key: ${randomBytes(16).toString("base64")}`, "", "",
    ].join("\r\n"));
    await reader.until("101 Switching Protocols", 8_000);
    return reader;
  }

  async until(text: string, milliseconds: number): Promise<void> {
    const deadline = performance.now() + milliseconds;
    while (!this.text.includes(text)) {
      if (performance.now() > deadline) throw new Error(`${text} did not come`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A stream of server-sent events that nobody reads until `read` does, to its end. */
export async function unreadStream(url: string, key: string, path: string): Promise<{ read(): Promise<string> }> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } }, resolve).on("error", reject);
  });
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}`);
  return {
    async read() {
      let text = "";
      for await (const chunk of response) text += chunk;
      return text;
    },
  };
}
