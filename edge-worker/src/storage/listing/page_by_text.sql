-- Executions whose words match ?17, newest first, after the keyset (?4, ?5): the next ?6 rows are looked at, and all
-- others of the last one's millisecond. A keyset without an id is behind all of its millisecond.
FROM (
  SELECT t.execution_id AS id FROM execution_words w CROSS JOIN execution_texts t ON t.id = w.rowid
  WHERE w.execution_words MATCH ?17 AND t.project_id = ?1
    AND w.rowid < CAST(min(?3, ?4 + (?5 <> ''), 8700000000001) AS INTEGER) * 1048576
    AND w.rowid >= max(CAST(min(?2, 8700000000000) AS INTEGER) * 1048576, ifnull((
      SELECT w.rowid / 1048576 * 1048576
      FROM execution_words w CROSS JOIN execution_texts t ON t.id = w.rowid
      WHERE w.execution_words MATCH ?17 AND t.project_id = ?1
        AND w.rowid < CAST(min(?3, ?4 + (?5 <> ''), 8700000000001) AS INTEGER) * 1048576
      ORDER BY w.rowid DESC LIMIT 1 OFFSET ?6 - 1
    ), 0))
) s CROSS JOIN executions e ON e.project_id = ?1 AND e.id = s.id AND (e.started_at, e.id) < (?4, ?5)
