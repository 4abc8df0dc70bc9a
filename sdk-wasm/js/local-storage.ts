// localStorage, which is absent in workers, and may throw or be full anywhere.

/** What is kept under `key`, if anything is. */
export function kept(key: string): string | null | undefined {
  return attempt(() => localStorage.getItem(key));
}

/** Keeps a text, or none; says whether it could. */
export function keep(key: string, text?: string): boolean {
  return !!attempt(() => (text === undefined ? localStorage.removeItem(key) : localStorage.setItem(key, text), true));
}

/** The keys that begin with `prefix`, without it. */
export function keptKeys(prefix: string): string[] {
  const keys = attempt(() => Object.keys(localStorage)) ?? [];
  return keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
}

function attempt<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
