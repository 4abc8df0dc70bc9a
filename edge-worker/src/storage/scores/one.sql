SELECT id, name, kind, number, text, step, comment, source, labels, comment_text, author, received_at FROM scores
WHERE project_id = ?1 AND execution_id = ?2 AND id = ?3
