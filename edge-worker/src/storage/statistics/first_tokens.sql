-- The times to the first token of the same, likewise.
SELECT k / 1000 AS bucket, NULL AS value, k % 1000 AS ttft, executions FROM (
  SELECT started_at / CAST(?5 AS INTEGER) * 1000
    + CAST(ln(1 + max(first_token_at - started_at, 0)) * 20 AS INTEGER) AS k, count(*) AS executions
  FROM (
    SELECT started_at, first_token_at FROM executions
    WHERE project_id = ?1 AND started_at >= ?2 AND started_at < ?3 AND end_status IS NOT NULL
    ORDER BY started_at DESC, id DESC LIMIT ?4
  )
  WHERE first_token_at IS NOT NULL
  GROUP BY 1
)
