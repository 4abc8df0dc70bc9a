-- The newest ?4 executions of the window.
WITH l AS MATERIALIZED (
  SELECT id, started_at FROM executions
  WHERE project_id = ?1 AND started_at >= ?2 AND started_at < ?3
  ORDER BY started_at DESC, id DESC LIMIT ?4
)
