SELECT seq, kind, execution_id, writer, k, content FROM leaves
WHERE project_id = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq LIMIT ?4
