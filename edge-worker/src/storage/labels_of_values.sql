-- Sealed labels of the newest (?3 is 1) or oldest execution that has each of the values ?2 (JSON pairs of facet and value);
-- of scores' names, those of a score.
WITH f AS MATERIALIZED (
  SELECT v.value ->> 0 AS facet, v.value ->> 1 AS value, iif(?3 = 1, (
    SELECT execution_id FROM execution_facets
    WHERE project_id = ?1 AND facet = v.value ->> 0 AND value = v.value ->> 1
    ORDER BY started_at DESC, execution_id DESC LIMIT 1
  ), (
    SELECT execution_id FROM execution_facets
    WHERE project_id = ?1 AND facet = v.value ->> 0 AND value = v.value ->> 1
    ORDER BY started_at, execution_id LIMIT 1
  )) AS id
  FROM json_each(?2) v
)
SELECT e.labels FROM (SELECT DISTINCT id FROM f WHERE facet <> 'score') n
CROSS JOIN executions e ON e.project_id = ?1 AND e.id = n.id
UNION ALL
SELECT (
  SELECT s.labels FROM scores s WHERE s.project_id = ?1 AND s.execution_id = f.id AND s.name = f.value LIMIT 1
) AS labels FROM f WHERE facet = 'score' AND labels IS NOT NULL
