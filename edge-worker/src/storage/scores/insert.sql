-- Stores a key's score ?3 (JSON) unless its id is taken, the execution is not there or keys gave it ?6 already.
INSERT INTO scores (project_id, execution_id, id, name, kind, number, text, step, comment, source, labels, comment_text, author,
  received_at)
SELECT ?1, ?2, j.value ->> 'id', j.value ->> 'name', j.value ->> 'kind', j.value ->> 'number', j.value ->> 'text',
  j.value ->> 'step', j.value ->> 'comment', j.value ->> 'source', j.value ->> 'labels',
  j.value ->> 'comment_text', ?4, ?5
FROM json_each(json_array(json(?3))) j
WHERE EXISTS (SELECT 1 FROM executions WHERE project_id = ?1 AND id = ?2)
AND (SELECT count(*) FROM scores WHERE project_id = ?1 AND execution_id = ?2 AND author <> 'session') < ?6
ON CONFLICT DO NOTHING
RETURNING id
