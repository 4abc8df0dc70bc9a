-- The rest of every list's question: what of the looked at rows `e` passes. ?7 is a JSON array of [facet, value], all of
-- which must hold, a score's perhaps with least, most and text of one score; a bound of NULL does not bound.
WHERE NOT EXISTS (
  SELECT 1 FROM json_each(?7) f
  WHERE NOT EXISTS (
    SELECT 1 FROM execution_facets x
    WHERE x.project_id = ?1 AND x.facet = f.value ->> 0 AND x.value = f.value ->> 1
      AND x.started_at = e.started_at AND x.execution_id = e.id
  )
  OR json_array_length(f.value) > 2 AND NOT EXISTS (
    SELECT 1 FROM scores s
    WHERE s.project_id = ?1 AND s.execution_id = e.id AND s.name = f.value ->> 1
      AND (f.value ->> 2 IS NULL OR s.number >= f.value ->> 2) AND (f.value ->> 3 IS NULL OR s.number <= f.value ->> 3)
      AND (f.value ->> 4 IS NULL OR s.text = f.value ->> 4)
  )
)
AND (?8 IS NULL OR e.duration_ms >= ?8) AND (?9 IS NULL OR e.duration_ms <= ?9)
AND (?10 IS NULL OR e.tokens >= ?10) AND (?11 IS NULL OR e.tokens <= ?11)
AND (?12 IS NULL OR e.cost_nano_usd >= ?12) AND (?13 IS NULL OR e.cost_nano_usd <= ?13)
AND (?14 IS NULL OR NOT e.failed)
AND (?15 IS NULL OR ?15 = CASE
  WHEN e.end_status IS NULL THEN 'open'
  WHEN e.closers = e.openers AND e.expected = e.events + e.dropped THEN 'complete'
  WHEN e.closers + e.adopted_closers = e.openers
    AND e.expected + e.adopted_expected = e.events + e.dropped THEN 'complete'
  ELSE 'incomplete'
END)
