-- Values of the facet ?7 (session or user), by their newest execution in the window, before the keyset (?4, ?5): the next ?6
-- executions are looked at, as far as `last` (frontier_by_start.sql), until there are ?8 values, and each value is given where its
-- newest one stands. In the order of the index, so that it ends with the last value.
SELECT iif(?7 = 'session', e.session, e.user) AS value, e.started_at AS last_at, e.id AS last_id
FROM executions e INDEXED BY executions_for_stats
WHERE e.project_id = ?1 AND e.started_at >= ifnull((SELECT started_at FROM last), ?2) AND e.started_at < ?3
  AND (e.started_at, e.id) < (?4, ?5)
  AND ((e.started_at, e.id) < (SELECT started_at, id FROM last)) IS NOT TRUE
  AND iif(?7 = 'session', e.session, e.user) IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM execution_facets x
    WHERE x.project_id = ?1 AND x.facet = ?7 AND x.value = iif(?7 = 'session', e.session, e.user)
      AND x.started_at < ?3 AND (x.started_at, x.execution_id) > (e.started_at, e.id)
  )
ORDER BY e.started_at DESC, e.id DESC LIMIT ?8
