// Readers of the live feed, over both of its transports.

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

  /** Over a WebSocket. `acknowledge` says what was read, as a reader must. */
  static async socket(url: string, key: string, query = "", acknowledge = true): Promise<LiveReader> {
    // Node's own WebSocket takes headers; its type does not say so.
    const socket = new (WebSocket as any)(`${url.replace(/^http/, "ws")}/v1/live${query}`, { headers: { authorization: `Bearer ${key}` } }) as WebSocket;
    const reader = new LiveReader((take, end) => {
      socket.addEventListener("message", ({ data }) => {
        const message = JSON.parse(String(data));
        take(message);
        if (acknowledge && message.cursor !== undefined) socket.send(JSON.stringify({ ack: message.cursor }));
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
