-- How far down a page by $key has seen all: to the largest of the last rows it looks at in a day.
SELECT $key AS key, e.id FROM json_each(?2) d CROSS JOIN executions e ON e.project_id = ?1 AND e.id = (
  SELECT id FROM executions
  WHERE project_id = ?1 AND end_status IS NOT NULL AND started_at / 86400000 = d.value
    AND $key <= ?3 AND ($key < ?3 OR id < ?4)
  ORDER BY $key DESC, id DESC LIMIT 1 OFFSET ?5 - 1
)
ORDER BY key DESC, e.id DESC LIMIT 1
