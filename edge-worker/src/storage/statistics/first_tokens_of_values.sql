SELECT f.started_at / CAST(?5 AS INTEGER) AS bucket, f.value,
  CAST(ln(1 + max(e.first_token_at - e.started_at, 0)) * 20 AS INTEGER) AS ttft, count(*) AS executions
FROM (
  SELECT f.value, f.started_at, f.execution_id FROM json_each(?7) v CROSS JOIN execution_facets f
  WHERE f.project_id = ?1 AND f.facet = ?6 AND f.value = v.value AND f.started_at >= ?2 AND f.started_at < ?3
  LIMIT ?4
) f CROSS JOIN executions e INDEXED BY executions_for_stats
  ON e.project_id = ?1 AND e.started_at = f.started_at AND e.id = f.execution_id AND e.end_status IS NOT NULL
WHERE e.first_token_at IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM json_each(?8) w
  WHERE NOT EXISTS (
    SELECT 1 FROM execution_facets x
    WHERE x.project_id = ?1 AND x.facet = w.value ->> 0 AND x.value = w.value ->> 1
      AND x.started_at = f.started_at AND x.execution_id = f.execution_id
  )
)
GROUP BY 1, 2, 3
