-- The same of those that have the facet ?17 with the value ?18.
FROM (
  SELECT execution_id AS id, started_at FROM execution_facets
  WHERE project_id = ?1 AND facet = ?17 AND value = ?18
    AND started_at >= ?2 AND started_at < ?3 AND (started_at, execution_id) < (?4, ?5)
  ORDER BY started_at DESC, execution_id DESC LIMIT ?6
) s CROSS JOIN executions e ON e.project_id = ?1 AND e.id = s.id
