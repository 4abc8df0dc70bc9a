-- The last of the rows that a page by start looks at, if it looks at all it may.
SELECT started_at AS key, id FROM executions
WHERE project_id = ?1 AND started_at >= ?2 AND started_at < ?3 AND (started_at, id) < (?4, ?5)
ORDER BY started_at DESC, id DESC LIMIT 1 OFFSET ?6 - 1
