INSERT INTO tombstones (project_id, execution_id, deleted_at)
SELECT ?1, value, ?3 FROM json_each(?2) WHERE true
ON CONFLICT DO NOTHING
