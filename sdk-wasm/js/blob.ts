// Bytes as they are recorded: never their content.

import { sha256 } from "./digest.js";
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
  return Object.assign(Object.create(REFERENCE), { sha256: await sha256(await blob.arrayBuffer()), bytes: blob.size, type: blob.type });
}
