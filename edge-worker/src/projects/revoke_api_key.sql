UPDATE api_keys SET revoked_at = ?3 WHERE project_id = ?1 AND digest = ?2 AND revoked_at IS NULL
