SELECT id FROM executions WHERE project_id = ?1 LIMIT ?2
