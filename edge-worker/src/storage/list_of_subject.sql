SELECT id FROM executions WHERE project_id = ?1 AND subject = ?2 LIMIT ?3
