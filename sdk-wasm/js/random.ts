/** So many words of 16 bits are asked for at a time: asking costs more than they do. What is longer is no small integer and takes three times as long to write. */
const POOL = 128;

let pool = "";

/** Random bytes as hex digits. */
export function randomHex(bytes: number): string {
  if (pool.length < bytes * 2) for (const word of crypto.getRandomValues(new Uint16Array(POOL))) pool += (word + 2 ** 16).toString(16).slice(1);
  const taken = pool.slice(0, bytes * 2);
  pool = pool.slice(bytes * 2);
  return taken;
}
