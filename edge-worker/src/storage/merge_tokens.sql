-- Adds a batch's tokens to its execution's, if and only if this attempt stored the batch. The smallest thousand are
-- kept, so that the order of batches does not matter.
INSERT INTO execution_texts (id, project_id, execution_id, search, tokens)
SELECT
  (
    SELECT ifnull(max(t.id) + 1, min(e.started_at, 8700000000000) * 1048576) FROM execution_texts t
    WHERE t.id >= min(e.started_at, 8700000000000) * 1048576
      AND t.id < (min(e.started_at, 8700000000000) + 1) * 1048576
  ),
  e.project_id, e.id, ?6, ?7
FROM executions e
WHERE e.project_id = ?1 AND e.id = ?2 AND EXISTS (
  SELECT 1 FROM segments
  WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4 AND attempt = ?5
)
ON CONFLICT (project_id, execution_id) DO UPDATE SET
  search = excluded.search,
  tokens = (
    SELECT json_group_array(value) FROM (
      SELECT value FROM json_each(tokens) UNION SELECT value FROM json_each(excluded.tokens)
      ORDER BY value LIMIT 1000
    )
  )
