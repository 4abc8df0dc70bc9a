-- Stores a batch under its key unless another subject owns the execution. A key that is taken stays as
-- it is: whoever reads back a foreign `attempt` has lost.
INSERT INTO segments (
  project_id, execution_id, writer, k, n, count, sha256, batch_id, kid, attempt, provenance,
  received_at, bytes, envelope, body
)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, iif(?15 = 'hex', unhex(?16), ?16)
WHERE NOT EXISTS (
  SELECT 1 FROM executions
  WHERE project_id = ?1 AND id = ?2 AND subject NOT IN (SELECT value FROM json_each(?17))
)
ON CONFLICT DO NOTHING
