-- Sealed labels of the scores ?2 (JSON pairs of an execution's id and theirs).
SELECT s.labels FROM json_each(?2) v
CROSS JOIN scores s ON s.project_id = ?1 AND s.execution_id = v.value ->> 0 AND s.id = v.value ->> 1
