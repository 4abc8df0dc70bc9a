INSERT INTO deletions (project_id, id, kind, value, ordered_at, executions) VALUES (?1, ?2, ?3, ?4, ?5, 0)
