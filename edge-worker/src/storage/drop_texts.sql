-- Up to ?3 texts of a project that are not searched as ?2.
DELETE FROM execution_texts WHERE id IN (
  SELECT id FROM execution_texts WHERE project_id = ?1 AND search <> ?2 LIMIT ?3
)
