-- Up to ?6 values of the facet ?2 after ?3, each by a seek to the next, and how many executions of the window have it,
-- counted to ?7.
WITH RECURSIVE v(value) AS (
  SELECT min(value) FROM execution_facets WHERE project_id = ?1 AND facet = ?2 AND value > ?3
  UNION ALL
  SELECT (SELECT min(value) FROM execution_facets WHERE project_id = ?1 AND facet = ?2 AND value > v.value)
  FROM v WHERE v.value IS NOT NULL
  LIMIT ?6
)
SELECT v.value, (
  SELECT count(*) FROM (
    SELECT 1 FROM execution_facets
    WHERE project_id = ?1 AND facet = ?2 AND value = v.value AND started_at >= ?4 AND started_at < ?5
    LIMIT ?7
  )
) AS executions
FROM v WHERE v.value IS NOT NULL
