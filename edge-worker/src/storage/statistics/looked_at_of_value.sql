-- The newest ?4 executions of the window that have the facet ?6 with the value ?7.
WITH l AS MATERIALIZED (
  SELECT execution_id AS id, started_at FROM execution_facets
  WHERE project_id = ?1 AND facet = ?6 AND value = ?7 AND started_at >= ?2 AND started_at < ?3
  ORDER BY started_at DESC, execution_id DESC LIMIT ?4
)
