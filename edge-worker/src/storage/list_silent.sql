-- Executions that go on (?2) and were silent since ?3, oldest start first after the keyset (?4, ?5): the next ?6 are
-- looked at.
SELECT e.id, e.started_at, e.updated_at < ?3 AS silent FROM (
  SELECT execution_id, started_at FROM execution_facets
  WHERE project_id = ?1 AND facet = 'status' AND value = ?2 AND (started_at, execution_id) > (?4, ?5)
  ORDER BY started_at, execution_id LIMIT ?6
) f CROSS JOIN executions e ON e.project_id = ?1 AND e.id = f.execution_id
