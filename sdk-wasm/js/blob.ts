// Bytes as they are recorded: never their content.

import { base64url } from "./base64url.js";
import type { Bytes } from "./types.js";

/** Stands for a file or other bytes in what is recorded. Made by {@link Recorder.blob}. */
export interface BlobReference {
  /** SHA-256 as base64url. */
  readonly sha256: string;
  readonly bytes: number;
  readonly type: string;
}

/** The prototype of references, so that no recorded object can pose as one. */
export const REFERENCE = {};

export async function refer(data: Blob | Bytes, type?: string): Promise<BlobReference> {
  const blob = new Blob([data as BlobPart], { type: type ?? (data as Partial<Blob>).type });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  const sha256 = base64url(digest);
  return Object.assign(Object.create(REFERENCE), { sha256, bytes: blob.size, type: blob.type });
}
