SELECT project_id, id, kind, value, ordered_at, finished_at, executions FROM deletions
WHERE finished_at IS NULL ORDER BY ordered_at LIMIT ?1
