/** So many words of 32 bits are asked for at a time: asking costs more than they do. */
const POOL = 64;

let pool = "";

/** Random bytes as hex digits. */
export function randomHex(bytes: number): string {
  if (pool.length < bytes * 2) for (const word of crypto.getRandomValues(new Uint32Array(POOL))) pool += (word + 2 ** 32).toString(16).slice(1);
  const taken = pool.slice(0, bytes * 2);
  pool = pool.slice(bytes * 2);
  return taken;
}
