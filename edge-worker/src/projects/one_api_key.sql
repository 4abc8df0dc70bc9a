SELECT digest, id, project_id, role, name, created_at, expires_at, revoked_at, last_used_on FROM api_keys
WHERE project_id = ?1 AND id = ?2
