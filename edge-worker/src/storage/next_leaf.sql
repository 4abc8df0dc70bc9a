SELECT ifnull(max(seq) + 1, 0) AS next FROM leaves WHERE project_id = ?1
