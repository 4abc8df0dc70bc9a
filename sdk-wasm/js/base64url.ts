/** Base64url without padding (RFC 4648, section 5). Not for more than a few kilobytes: each byte becomes an argument. */
export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}
