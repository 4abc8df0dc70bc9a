INSERT INTO leaves (project_id, seq, kind, execution_id, writer, k, content)
SELECT ?1,
  ifnull((SELECT seq FROM leaves WHERE project_id = ?1 ORDER BY seq DESC LIMIT 1), -1) + row_number() OVER (ORDER BY id),
  'deletion', id, '', 0, ''
FROM executions WHERE project_id = ?1 AND id IN (SELECT value FROM json_each(?2))
