INSERT INTO projects (id, config, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING RETURNING id
