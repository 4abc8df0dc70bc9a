-- Who owns the execution and what stands under the batch's key, after an attempt that got no row back.
SELECT e.subject, s.attempt, s.sha256, s.n, s.count, s.received_at, s.kid
FROM executions e
LEFT JOIN segments s
  ON s.project_id = e.project_id AND s.execution_id = e.id AND s.writer = ?3 AND s.k = ?4
WHERE e.project_id = ?1 AND e.id = ?2
