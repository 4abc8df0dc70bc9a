DELETE FROM leaves WHERE project_id = ?1
