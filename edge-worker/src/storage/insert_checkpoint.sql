INSERT INTO checkpoints (project_id, size, made_at, note, frontier) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING
