-- Stores the scores ?5 (JSON) of a batch, if and only if this attempt stored the batch.
INSERT INTO scores (project_id, execution_id, id, name, kind, number, text, step, comment, source, labels, comment_text, author,
  received_at)
SELECT ?1, ?2, j.value ->> 'id', j.value ->> 'name', j.value ->> 'kind', j.value ->> 'number', j.value ->> 'text',
  j.value ->> 'step', j.value ->> 'comment', j.value ->> 'source', j.value ->> 'labels',
  j.value ->> 'comment_text', 'session', ?7
FROM json_each(?5) j
WHERE EXISTS (
  SELECT 1 FROM segments
  WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4 AND attempt = ?6
)
ON CONFLICT DO NOTHING
