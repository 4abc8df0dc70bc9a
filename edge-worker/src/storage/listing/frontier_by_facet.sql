SELECT started_at AS key, execution_id AS id FROM execution_facets
WHERE project_id = ?1 AND facet = ?7 AND value = ?8
  AND started_at >= ?2 AND started_at < ?3 AND (started_at, execution_id) < (?4, ?5)
ORDER BY started_at DESC, execution_id DESC LIMIT 1 OFFSET ?6 - 1
