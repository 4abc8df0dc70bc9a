/**
 * The rows of the executions list over several pages and refreshes. Pure.
 * A refresh reads the first page only, however many older ones are shown.
 */

import type { Execution, ExecutionList } from "./api.ts";

export interface Shown {
  readonly rows: readonly Execution[];
  /** Where the older ones begin; null if there are none. */
  readonly cursor: string | null;
}

export const NONE_SHOWN: Shown = { rows: [], cursor: null };

export function withOlder(shown: Shown, page: ExecutionList): Shown {
  const known = new Set(shown.rows.map((row) => row.id));
  return { rows: [...shown.rows, ...page.executions.filter((row) => !known.has(row.id))], cursor: page.next_cursor };
}

/**
 * Puts a fresh first page over what is shown. Within its range the page is
 * right: rows that it no longer holds have gone or no longer match. Below its
 * range older rows stay. If nothing overlaps, rows between may be missing, so
 * the older ones go and are read again when asked for.
 */
export function withFreshPage(shown: Shown, page: ExecutionList): Shown {
  const fresh = { rows: page.executions, cursor: page.next_cursor };
  const last = page.executions.at(-1);
  if (page.next_cursor === null || last === undefined) return fresh;
  const anchor = shown.rows.findIndex((row) => row.id === last.id);
  if (anchor < 0) return fresh;
  const known = new Set(page.executions.map((row) => row.id));
  const older = shown.rows.slice(anchor + 1).filter((row) => !known.has(row.id));
  return older.length === 0 ? fresh : { rows: [...page.executions, ...older], cursor: shown.cursor };
}
