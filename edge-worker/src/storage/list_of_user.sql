SELECT execution_id AS id FROM execution_facets WHERE project_id = ?1 AND facet = 'user' AND value = ?2 LIMIT ?3
