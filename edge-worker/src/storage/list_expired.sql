-- Both halves use the index by start.
SELECT id FROM (
  SELECT id FROM executions WHERE project_id = ?1 AND started_at < ?2 AND updated_at < ?2 LIMIT ?4
)
UNION
SELECT id FROM (
  SELECT id FROM executions WHERE project_id = ?1 AND started_at > ?3 AND updated_at < ?2 LIMIT ?4
)
LIMIT ?4
