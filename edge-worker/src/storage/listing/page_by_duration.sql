-- Ended executions by duration, most first, after the keyset (?4, ?5): of each of the days ?17 the next ?6 are looked at.
FROM json_each(?17) d CROSS JOIN executions e ON e.project_id = ?1 AND e.id IN (
  SELECT id FROM executions
  WHERE project_id = ?1 AND ended_of_day = d.value AND (duration_ms, id) < (?4, ?5)
  ORDER BY duration_ms DESC, id DESC LIMIT ?6
)
