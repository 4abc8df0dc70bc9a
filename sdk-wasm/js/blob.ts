// Bytes as they are recorded: never their content.

import type { Bytes } from "./types.js";

/** Stands for a file or other bytes in what is recorded. Made by {@link Recorder.blob}. */
export class BlobReference {
  readonly sha256: string;
  readonly bytes: number;
  readonly type: string;

  private constructor(sha256: string, bytes: number, type: string) {
    this.sha256 = sha256;
    this.bytes = bytes;
    this.type = type;
  }

  /** @internal */
  static async of(data: Blob | Bytes, type?: string): Promise<BlobReference> {
    const isBlob = typeof Blob === "function" && data instanceof Blob;
    const bytes = isBlob ? await data.arrayBuffer() : (data as BufferSource);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const sha256 = btoa(String.fromCharCode(...digest)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
    return new BlobReference(sha256, bytes.byteLength, type ?? (isBlob ? data.type : ""));
  }
}
