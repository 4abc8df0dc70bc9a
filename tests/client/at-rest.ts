// Sealed bodies by Node's own crypto: a second implementation, independent of the worker's.

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

const MAGIC = Buffer.from("\0s1", "latin1");
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;

export type BodyPlace = { project: string; execution: string; writer: string; k: number; attempt: string };

const additionalData = ({ project, execution, writer, k, attempt }: BodyPlace) =>
  Buffer.from(["stepseal/segments.body/v1", project, execution, writer, k, attempt].join("\0"));

const bodyKey = (root: Uint8Array, project: string) =>
  new Uint8Array(hkdfSync("sha256", root, "", `stepseal/at-rest-body/v1\0${project}`, 32));

/** Opens a stored body; throws if it does not open in this place. */
export function openBody(root: Uint8Array, place: BodyPlace, stored: Buffer): Buffer {
  const { nonce, ciphertext } = takeApart(stored);
  const decipher = createDecipheriv("aes-256-gcm", bodyKey(root, place.project), nonce);
  decipher.setAAD(additionalData(place));
  decipher.setAuthTag(ciphertext.subarray(-TAG_LENGTH));
  return Buffer.concat([decipher.update(ciphertext.subarray(0, -TAG_LENGTH)), decipher.final()]);
}

export function sealBody(root: Uint8Array, rootName: string, place: BodyPlace, body: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_LENGTH);
  const cipher = createCipheriv("aes-256-gcm", bodyKey(root, place.project), nonce);
  cipher.setAAD(additionalData(place));
  const ciphertext = Buffer.concat([cipher.update(body), cipher.final(), cipher.getAuthTag()]);
  return Buffer.concat([MAGIC, Buffer.from([rootName.length]), Buffer.from(rootName), nonce, ciphertext]);
}

/** The root that a stored body says it is sealed under, its nonce and its ciphertext with the tag. */
export function takeApart(stored: Buffer): { rootName: string; nonce: Buffer; ciphertext: Buffer } {
  if (!stored.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error("the body is not sealed");
  const start = MAGIC.length + 1;
  const end = start + stored[MAGIC.length]!;
  return { rootName: stored.subarray(start, end).toString(), nonce: stored.subarray(end, end + NONCE_LENGTH), ciphertext: stored.subarray(end + NONCE_LENGTH) };
}
