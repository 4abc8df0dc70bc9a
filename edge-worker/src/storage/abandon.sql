-- Gives up those of ?2 (a JSON array of ids) that were silent since ?3. An event that comes later takes it back, because
-- it arrives after that time.
UPDATE executions SET abandoned_at = ?3
WHERE project_id = ?1 AND id IN (SELECT value FROM json_each(?2)) AND end_status IS NULL AND updated_at < ?3
