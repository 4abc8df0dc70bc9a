UPDATE projects SET config = ?2 WHERE id = ?1
