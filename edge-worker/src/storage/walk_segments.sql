-- Without bodies: those stand last in the row and are not touched.
SELECT project_id, execution_id, writer, k, attempt, sealed_under FROM segments
WHERE (project_id, execution_id, writer, k) > (?1, ?2, ?3, ?4)
ORDER BY project_id, execution_id, writer, k LIMIT ?5
