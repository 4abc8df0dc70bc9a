-- The millisecond of the last of the rows that a page by text looks at, if it looks at all it may: all of that
-- millisecond are seen.
SELECT w.rowid / 1048576 AS key, '' AS id
FROM execution_words w CROSS JOIN execution_texts t ON t.id = w.rowid
WHERE w.execution_words MATCH ?7 AND t.project_id = ?1
  AND w.rowid < CAST(min(?3, ?4 + (?5 <> ''), 8700000000001) AS INTEGER) * 1048576
  AND w.rowid >= CAST(min(?2, 8700000000000) AS INTEGER) * 1048576
ORDER BY w.rowid DESC LIMIT 1 OFFSET ?6 - 1
