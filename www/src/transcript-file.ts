/** A chosen file as text: decompressed if it is gzip, refused if it is too large or no UTF-8. */

import { bytes } from "./format.ts";

/** Text of this size, parsed, still fits the memory of a tab. */
const MAX_TEXT_BYTES = 256_000_000;

export class UnreadableFile extends Error {
  override readonly name = "UnreadableFile";
}

export async function readTranscriptFile(file: File): Promise<string> {
  const stream = (await isGzip(file)) ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream();
  try {
    return await decode(stream);
  } catch (error) {
    if (error instanceof UnreadableFile) throw error;
    throw new UnreadableFile(`it cannot be decompressed or read (${error instanceof Error ? error.message : String(error)})`);
  }
}

/** By its first bytes: names lie. */
async function isGzip(file: File): Promise<boolean> {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return start[0] === 0x1f && start[1] === 0x8b;
}

async function decode(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const parts: string[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.byteLength;
    if (size > MAX_TEXT_BYTES) throw new UnreadableFile(`it holds more than ${bytes(MAX_TEXT_BYTES)} of text`);
    parts.push(decoded(decoder, chunk));
  }
  parts.push(decoded(decoder));
  return parts.join("");
}

function decoded(decoder: TextDecoder, chunk?: Uint8Array<ArrayBuffer>): string {
  try {
    return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
  } catch {
    throw new UnreadableFile("it is not UTF-8 text");
  }
}
