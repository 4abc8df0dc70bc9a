SELECT config FROM projects WHERE id = ?1
