-- Stores a batch under its key unless another subject owns the execution or it was deleted, and gives its key back if it
-- did. A key that is taken stays as it is.
INSERT INTO segments (
  project_id, execution_id, writer, k, n, count, sha256, batch_id, kid, attempt, provenance,
  received_at, bytes, message_first, message_last, envelope, sealed_under, price_version, scores, body
)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?20, ?21,
  unhex(?18)
WHERE NOT EXISTS (
  SELECT 1 FROM executions
  WHERE project_id = ?1 AND id = ?2 AND subject NOT IN (SELECT value FROM json_each(?19))
)
AND NOT EXISTS (SELECT 1 FROM tombstones WHERE project_id = ?1 AND execution_id = ?2)
ON CONFLICT DO NOTHING
RETURNING k
