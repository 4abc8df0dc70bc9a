-- Notes that a batch was imported, if and only if this attempt stored it.
INSERT INTO imports (project_id, execution_id, writer, k, imported_at, actor, key, attestation, tag)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
WHERE EXISTS (
  SELECT 1 FROM segments
  WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4 AND attempt = ?10
)
