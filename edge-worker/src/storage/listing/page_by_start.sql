-- Executions by start, newest first, after the keyset (?4, ?5): the next ?6 rows of the window are looked at.
FROM (
  SELECT id, started_at FROM executions
  WHERE project_id = ?1 AND started_at >= ?2 AND started_at < ?3 AND (started_at, id) < (?4, ?5)
  ORDER BY started_at DESC, id DESC LIMIT ?6
) s CROSS JOIN executions e ON e.project_id = ?1 AND e.id = s.id
