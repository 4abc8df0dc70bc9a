-- The rest of every list's question; a bound of NULL does not bound. Numbers are those of $of: the row, or what the index gave.
AND (?8 IS NULL OR $of.duration_ms >= ?8) AND (?9 IS NULL OR $of.duration_ms <= ?9)
AND (?10 IS NULL OR $of.tokens >= ?10) AND (?11 IS NULL OR $of.tokens <= ?11)
AND (?12 IS NULL OR $of.cost_nano_usd >= ?12) AND (?13 IS NULL OR $of.cost_nano_usd <= ?13)
AND (?14 IS NULL OR NOT $of.failed)
AND (?15 IS NULL OR ?15 = CASE
  WHEN e.end_status IS NULL THEN 'open'
  WHEN e.closers = e.openers AND e.expected = e.events + e.dropped THEN 'complete'
  WHEN e.closers + e.adopted_closers = e.openers
    AND e.expected + e.adopted_expected = e.events + e.dropped THEN 'complete'
  ELSE 'incomplete'
END)
