SELECT * FROM executions WHERE project_id = ?1 AND id = ?2
