-- What of the looked at executions has all of ?7, a JSON array of [facet, value], a score's perhaps with least, most and text of
-- one score. Asked of `s`, what the index gave, before any row is read.
WHERE NOT EXISTS (
  SELECT 1 FROM json_each(?7) f
  WHERE NOT EXISTS (
    SELECT 1 FROM execution_facets x
    WHERE x.project_id = ?1 AND x.facet = f.value ->> 0 AND x.value = f.value ->> 1
      AND x.started_at = s.started_at AND x.execution_id = s.id
  )
  OR json_array_length(f.value) > 2 AND NOT EXISTS (
    SELECT 1 FROM scores o
    WHERE o.project_id = ?1 AND o.execution_id = s.id AND o.name = f.value ->> 1
      AND (f.value ->> 2 IS NULL OR o.number >= f.value ->> 2) AND (f.value ->> 3 IS NULL OR o.number <= f.value ->> 3)
      AND (f.value ->> 4 IS NULL OR o.text = f.value ->> 4)
  )
)
