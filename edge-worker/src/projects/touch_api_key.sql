UPDATE api_keys SET last_used_on = ?3
WHERE project_id = ?1 AND digest = ?2 AND (last_used_on IS NULL OR last_used_on < ?3)
