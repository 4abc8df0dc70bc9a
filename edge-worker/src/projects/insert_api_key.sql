INSERT INTO api_keys (digest, project_id, role, name, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
