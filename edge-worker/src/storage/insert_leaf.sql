-- Appends a batch to its project's log, if and only if this attempt stored it.
INSERT INTO leaves (project_id, seq, kind, execution_id, writer, k, content)
SELECT ?1, 1 + ifnull((SELECT seq FROM leaves WHERE project_id = ?1 ORDER BY seq DESC LIMIT 1), -1), 'batch', ?2, ?3, ?4, ?5
WHERE EXISTS (
  SELECT 1 FROM segments
  WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4 AND attempt = ?6
)
