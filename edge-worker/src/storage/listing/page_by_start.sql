-- Executions by start, newest first, after the keyset (?4, ?5): the next ?6 rows of the window are looked at. The index has all
-- numbers that may be asked for: `duration_ms`, `tokens` and `failed` as the table computes them.
FROM (
  SELECT id, started_at, max(ended_at - started_at, 0) AS duration_ms, cost_nano_usd,
    input_tokens + cache_read_tokens + cache_write_tokens + output_tokens + reasoning_tokens AS tokens,
    error_steps > 0 OR ifnull(end_status, '') = 'failed' AS failed
  FROM executions INDEXED BY executions_for_stats
  WHERE project_id = ?1 AND started_at >= ?2 AND started_at < ?3 AND (started_at, id) < (?4, ?5)
  ORDER BY started_at DESC, id DESC LIMIT ?6
) s CROSS JOIN executions e ON e.project_id = ?1 AND e.id = s.id
