-- Executions of a project, newest start first, after the keyset (?6, ?7). A bound of NULL does not bound.
SELECT * FROM executions
WHERE project_id = ?1
  AND started_at >= ?2 AND started_at < ?3
  AND (?4 IS NULL OR status = ?4)
  AND (?5 IS NULL OR name = ?5)
  AND (started_at, id) < (?6, ?7)
ORDER BY started_at DESC, id DESC LIMIT ?8
