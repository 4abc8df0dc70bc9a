// Keys, tokens and signatures by Node's own crypto: a second implementation, independent of the Rust one.

import { createHash, createHmac, hkdfSync } from "node:crypto";

export type Claims = {
  v: 1; sub: string; sid: string; iat: number; exp: number;
  org?: string; scp: string; prv?: "backend" | "origin"; was?: string[];
};

const derive = (key: Uint8Array, info: string) => new Uint8Array(hkdfSync("sha256", key, "", info, 32));

export const projectSecret = (root: Uint8Array, project: string, kid: string) =>
  derive(root, `stepseal/project-secret/v1\0${project}\0${kid}`);

export const sessionKey = (secret: Uint8Array, token: string) => derive(secret, `stepseal/session-key/v1\0${token}`);

export const revealSecret = (secret: Uint8Array) => `whsec_${Buffer.from(secret).toString("base64")}`;

export const readSecret = (text: string) => new Uint8Array(Buffer.from(text.replace(/^whsec_/, ""), "base64"));

export const token = (project: string, kid: string, claims: object) =>
  `s1.${project}.${kid}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;

export function sign(key: Uint8Array, batchId: string, ts: number | string, body: Uint8Array): string {
  const mac = createHmac("sha256", key).update(`${batchId}.${ts}.`).update(body);
  return `v1,${mac.digest("base64")}`;
}

export const sha256 = (bytes: Uint8Array, encoding: "hex" | "base64url") =>
  createHash("sha256").update(bytes).digest(encoding);
