-- The writer's last stored batch: where an honest sender that was told of a conflict goes on.
SELECT k, n, count FROM segments
WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3
ORDER BY k DESC LIMIT 1
