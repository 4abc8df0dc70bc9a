/** So many bytes are asked for at a time: asking costs more than the bytes do. */
const POOL = 256;

let pool = "";

/** Random bytes as hex digits. */
export function randomHex(bytes: number): string {
  if (pool.length < bytes * 2) for (const byte of crypto.getRandomValues(new Uint8Array(POOL))) pool += (byte + 256).toString(16).slice(1);
  const taken = pool.slice(0, bytes * 2);
  pool = pool.slice(bytes * 2);
  return taken;
}
