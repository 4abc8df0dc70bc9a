-- How far down a page by duration has seen all: to the largest of the last rows it looks at in a day.
SELECT e.duration_ms AS key, e.id FROM json_each(?2) d CROSS JOIN executions e ON e.project_id = ?1 AND e.id = (
  SELECT id FROM executions
  WHERE project_id = ?1 AND ended_of_day = d.value AND (duration_ms, id) < (?3, ?4)
  ORDER BY duration_ms DESC, id DESC LIMIT 1 OFFSET ?5 - 1
)
ORDER BY key DESC, e.id DESC LIMIT 1
