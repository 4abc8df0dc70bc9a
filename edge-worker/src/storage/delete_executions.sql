DELETE FROM executions WHERE project_id = ?1 AND id IN (SELECT value FROM json_each(?2)) RETURNING id
