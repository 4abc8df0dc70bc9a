-- Notes the old value in KV of a row that is about to name another; nothing for a body in its row.
INSERT INTO discarded_bodies (key)
SELECT ?6 FROM segments
WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4 AND attempt = ?5 AND body IS NULL
ON CONFLICT DO NOTHING
