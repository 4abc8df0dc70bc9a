DELETE FROM segments WHERE project_id = ?1 AND execution_id IN (SELECT value FROM json_each(?2))
