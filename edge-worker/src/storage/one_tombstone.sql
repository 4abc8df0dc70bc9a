SELECT deleted_at FROM tombstones WHERE project_id = ?1 AND execution_id = ?2
