-- How often steps took how long in those that pass the facets ?5 (JSON), most first; one of the executions that have such; and how many were
-- looked at, passed and have steps.
, p AS MATERIALIZED (
  SELECT e.id, e.steps, e.step_times FROM l CROSS JOIN executions e ON e.project_id = ?1 AND e.id = l.id
  WHERE NOT EXISTS (
    SELECT 1 FROM json_each(?5) w
    WHERE NOT EXISTS (
      SELECT 1 FROM execution_facets x
      WHERE x.project_id = ?1 AND x.facet = w.value ->> 0 AND x.value = w.value ->> 1
        AND x.started_at = l.started_at AND x.execution_id = l.id
    )
  )
)
SELECT * FROM (
  SELECT j.key, sum(j.value) AS count, max(p.id) AS execution FROM p CROSS JOIN json_each(p.step_times) j GROUP BY 1 ORDER BY count DESC LIMIT 5000
)
UNION ALL SELECT 'looked_at', count(*), '' FROM l
UNION ALL SELECT 'executions', count(*), '' FROM p
UNION ALL SELECT 'steps', ifnull(sum(steps), 0), '' FROM p
