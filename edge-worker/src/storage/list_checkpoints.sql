SELECT size, made_at, note, frontier FROM checkpoints WHERE project_id = ?1 AND size < ?2 ORDER BY size DESC LIMIT ?3
