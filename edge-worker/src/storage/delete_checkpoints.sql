DELETE FROM checkpoints WHERE project_id = ?1
