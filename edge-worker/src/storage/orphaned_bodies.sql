-- Those of the given values in KV that no row names.
SELECT json_extract(given.value, '$.key') AS key FROM json_each(?1) AS given
WHERE NOT EXISTS (
  SELECT 1 FROM segments
  WHERE project_id = json_extract(given.value, '$.project')
    AND execution_id = json_extract(given.value, '$.execution')
    AND writer = json_extract(given.value, '$.writer')
    AND k = json_extract(given.value, '$.k')
    AND attempt = json_extract(given.value, '$.attempt')
    AND body IS NULL
)
