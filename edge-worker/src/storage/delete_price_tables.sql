DELETE FROM price_tables WHERE project_id = ?1
