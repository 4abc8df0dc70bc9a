-- The writers of an execution and what each brought.
SELECT s.writer, count(*) AS batches, sum(s.count) AS events, count(m.imported_at) AS imported
FROM segments s
LEFT JOIN imports m ON m.project_id = s.project_id AND m.execution_id = s.execution_id AND m.writer = s.writer AND m.k = s.k
WHERE s.project_id = ?1 AND s.execution_id = ?2 GROUP BY s.writer ORDER BY s.writer
