SELECT project_id, id, kind, value, ordered_at, finished_at, executions FROM deletions
WHERE project_id = ?1 ORDER BY ordered_at DESC LIMIT 100
