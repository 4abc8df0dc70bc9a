-- Once it is finished nothing needs to know whose data it was.
UPDATE deletions SET executions = executions + ?3, finished_at = ?4, value = iif(?4 IS NULL, value, '')
WHERE project_id = ?1 AND id = ?2
