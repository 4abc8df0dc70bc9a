-- The newest ?4 ended executions that started in the window, summed by status, time (?5 ms a bucket) and duration: the
-- logarithm of 1 + its milliseconds in twentieths, 5 % wide. One number `k` holds all three, because a sort by one is faster;
-- the times to the first token, in such classes, stand as a list, because a second pass would cost as much as the first.
SELECT k / 4000 AS bucket, CASE k / 1000 % 4 WHEN 0 THEN 'completed' WHEN 1 THEN 'failed' ELSE 'cancelled' END AS status,
  NULL AS value, k % 1000 AS duration, executions, steps, error_steps, input, cache_read, cache_write, output, reasoning,
  cost_nano_usd, derived_cost_nano_usd, price_version_first, price_version_last, first_tokens
FROM (
  SELECT started_at / CAST(?5 AS INTEGER) * 4000
    + CASE end_status WHEN 'completed' THEN 0 WHEN 'failed' THEN 1000 ELSE 2000 END
    + CAST(ln(1 + max(ended_at - started_at, 0)) * 20 AS INTEGER) AS k, count(*) AS executions,
    sum(steps) AS steps, sum(error_steps) AS error_steps, sum(input_tokens) AS input,
    sum(cache_read_tokens) AS cache_read, sum(cache_write_tokens) AS cache_write, sum(output_tokens) AS output,
    sum(reasoning_tokens) AS reasoning, sum(cost_nano_usd) AS cost_nano_usd,
    sum(derived_cost_nano_usd) AS derived_cost_nano_usd, min(price_version_first) AS price_version_first,
    max(price_version_last) AS price_version_last,
    group_concat(CAST(ln(1 + max(first_token_at - started_at, 0)) * 20 AS INTEGER)) AS first_tokens
  FROM (
    SELECT started_at, end_status, ended_at, first_token_at, steps, error_steps, input_tokens, cache_read_tokens,
      cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, derived_cost_nano_usd, price_version_first,
      price_version_last
    FROM executions
    WHERE project_id = ?1 AND started_at >= ?2 AND started_at < ?3 AND end_status IS NOT NULL
    ORDER BY started_at DESC, id DESC LIMIT ?4
  )
  GROUP BY 1
)
