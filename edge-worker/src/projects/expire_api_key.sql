UPDATE api_keys SET expires_at = ?3 WHERE project_id = ?1 AND digest = ?2
