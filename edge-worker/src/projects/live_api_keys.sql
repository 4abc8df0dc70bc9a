SELECT digest FROM api_keys WHERE project_id = ?1 AND revoked_at IS NULL
