-- The writers of an execution and what each brought.
SELECT writer, count(*) AS batches, sum(count) AS events FROM segments
WHERE project_id = ?1 AND execution_id = ?2 GROUP BY writer ORDER BY writer
