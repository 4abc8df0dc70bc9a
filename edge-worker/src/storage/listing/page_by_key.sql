-- Ended executions by $key, most first, after the keyset (?4, ?5): of each of the days ?17 the next ?6 are looked at, in the
-- index alone (`executions_by_…`, which has the terms that stand here).
FROM json_each(?17) d CROSS JOIN executions e ON e.project_id = ?1 AND e.id IN (
  SELECT s.id FROM (
    SELECT id, started_at FROM executions
    WHERE project_id = ?1 AND end_status IS NOT NULL AND started_at / 86400000 = d.value
      AND $key <= ?4 AND ($key < ?4 OR id < ?5)
    ORDER BY $key DESC, id DESC LIMIT ?6
  ) s
