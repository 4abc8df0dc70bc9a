-- Texts each by itself, numbers in ten parts of their range; and one of each (SQLite takes a bare column from the row of the
-- only `max`).
SELECT s.name, s.text, b.low, b.high, count(*) AS scores, max(s.execution_id) AS execution, s.id,
  CASE WHEN s.kind <> 'number' THEN NULL WHEN b.high > b.low THEN min(9, CAST((s.number - b.low) * 10 / (b.high - b.low) AS INTEGER))
    ELSE 0 END AS part
FROM s LEFT JOIN (SELECT name, min(number) AS low, max(number) AS high FROM s WHERE kind = 'number' GROUP BY 1) b
  ON b.name = s.name
WHERE ?5 > 0
GROUP BY s.name, s.text, part ORDER BY scores DESC LIMIT 1000
