-- Up to ?4 scores with one of the names ?6 (JSON), of executions that started in the window and pass the facets ?7 (JSON).
WITH s AS MATERIALIZED (
  SELECT f.value AS name, f.started_at, f.execution_id, s.id, s.kind, s.number, s.text
  FROM json_each(?6) v
  CROSS JOIN execution_facets f ON f.project_id = ?1 AND f.facet = 'score' AND f.value = v.value
    AND f.started_at >= ?2 AND f.started_at < ?3
  CROSS JOIN scores s ON s.project_id = ?1 AND s.execution_id = f.execution_id AND s.name = f.value
  WHERE NOT EXISTS (
    SELECT 1 FROM json_each(?7) w
    WHERE NOT EXISTS (
      SELECT 1 FROM execution_facets x
      WHERE x.project_id = ?1 AND x.facet = w.value ->> 0 AND x.value = w.value ->> 1
        AND x.started_at = f.started_at AND x.execution_id = f.execution_id
    )
  )
  LIMIT ?4
)
