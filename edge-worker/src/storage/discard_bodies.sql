-- The keys are those of `bodies::body_key`.
INSERT INTO discarded_bodies (key)
SELECT 'segment/' || project_id || '/' || execution_id || '/' || writer || '/' || k || '/' || attempt FROM segments
WHERE project_id = ?1 AND execution_id IN (SELECT value FROM json_each(?2)) AND body IS NULL
ON CONFLICT DO NOTHING
