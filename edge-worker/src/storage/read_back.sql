-- Whether the execution was deleted, who owns it and what stands under the batch's key, after an attempt
-- that got no row back.
SELECT t.deleted_at, e.subject, s.attempt, s.sha256, s.n, s.count, s.received_at
FROM (SELECT 1)
LEFT JOIN tombstones t ON t.project_id = ?1 AND t.execution_id = ?2
LEFT JOIN executions e ON e.project_id = ?1 AND e.id = ?2
LEFT JOIN segments s
  ON s.project_id = ?1 AND s.execution_id = ?2 AND s.writer = ?3 AND s.k = ?4
