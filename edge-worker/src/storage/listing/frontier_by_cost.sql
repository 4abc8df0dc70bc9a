-- How far down a page by cost has seen all: to the largest of the last rows it looks at in a day.
SELECT e.cost_nano_usd AS key, e.id FROM json_each(?2) d CROSS JOIN executions e ON e.project_id = ?1 AND e.id = (
  SELECT id FROM executions
  WHERE project_id = ?1 AND ended_of_day = d.value AND (cost_nano_usd, id) < (?3, ?4)
  ORDER BY cost_nano_usd DESC, id DESC LIMIT 1 OFFSET ?5 - 1
)
ORDER BY key DESC, e.id DESC LIMIT 1
