SELECT config FROM projects WHERE id > ?1 ORDER BY id LIMIT ?2
