SELECT id FROM executions WHERE project_id = ?1 AND user = ?2 LIMIT ?3
