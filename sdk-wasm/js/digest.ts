import { base64url } from "./base64url.js";

/** SHA-256 as base64url, made elsewhere than on this thread. Rejects where there is no `crypto.subtle`. */
export async function sha256(bytes: Uint8Array<ArrayBuffer> | ArrayBuffer): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
