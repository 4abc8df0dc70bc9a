DELETE FROM tombstones WHERE project_id = ?1
