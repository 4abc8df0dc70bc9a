/** A timer that does not keep Node running. */
export function later(ms: number, run: () => void): ReturnType<typeof setTimeout> {
  // Longer waits overflow the timer's 32 bits; waking early does no harm.
  const timer = setTimeout(run, Math.min(ms, 2 ** 30));
  (timer as { unref?(): void }).unref?.();
  return timer;
}
