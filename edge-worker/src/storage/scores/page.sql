-- Up to ?3 scores of an execution, newest first.
SELECT id, name, kind, number, text, step, comment, source, labels, comment_text, author, received_at FROM scores
WHERE project_id = ?1 AND execution_id = ?2
ORDER BY received_at DESC, id DESC LIMIT ?3
