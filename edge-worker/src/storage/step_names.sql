-- Sealed names of the steps of the executions ?2 (JSON).
SELECT e.step_names AS labels FROM json_each(?2) v CROSS JOIN executions e ON e.project_id = ?1 AND e.id = v.value
