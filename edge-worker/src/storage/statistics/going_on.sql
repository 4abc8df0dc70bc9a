-- What has not ended, by time and status, of those that pass the facets ?6 (JSON).
SELECT f.started_at / CAST(?5 AS INTEGER) AS bucket, f.value AS status, count(*) AS executions
FROM (
  SELECT value, started_at, execution_id FROM execution_facets
  WHERE project_id = ?1 AND facet = 'status' AND value IN ('running', 'waiting', 'abandoned')
    AND started_at >= ?2 AND started_at < ?3
  LIMIT ?4
) f
WHERE NOT EXISTS (
  SELECT 1 FROM json_each(?6) w
  WHERE NOT EXISTS (
    SELECT 1 FROM execution_facets x
    WHERE x.project_id = ?1 AND x.facet = w.value ->> 0 AND x.value = w.value ->> 1
      AND x.started_at = f.started_at AND x.execution_id = f.execution_id
  )
)
GROUP BY 1, 2
