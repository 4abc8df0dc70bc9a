-- Values of the facet ?7 (session or user), by their newest execution in the window, before the keyset (?4, ?5): the
-- next ?6 executions are looked at, and each value is given where its newest one stands.
WITH looked_at AS (
  SELECT id, started_at FROM executions
  WHERE project_id = ?1 AND started_at >= ?2 AND started_at < ?3 AND (started_at, id) < (?4, ?5)
  ORDER BY started_at DESC, id DESC LIMIT ?6
),
used AS (
  SELECT iif(?7 = 'session', e.session, e.user) AS value, l.started_at, l.id
  FROM looked_at l CROSS JOIN executions e ON e.project_id = ?1 AND e.id = l.id
)
SELECT value, started_at AS last_at, id AS last_id FROM used u
WHERE value IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM execution_facets x
  WHERE x.project_id = ?1 AND x.facet = ?7 AND x.value = u.value
    AND x.started_at < ?3 AND (x.started_at, x.execution_id) > (u.started_at, u.id)
)
ORDER BY started_at DESC, id DESC LIMIT ?8
