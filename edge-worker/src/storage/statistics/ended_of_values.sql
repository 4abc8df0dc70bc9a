-- The same of those that have the facet ?6 with one of the values ?7 and pass the facets ?8 (both JSON); by the value's
-- place in ?7, which `k` holds too.
SELECT k / 40000000000000 AS value, k / 4000 % 10000000000 AS bucket,
  CASE k / 1000 % 4 WHEN 0 THEN 'completed' WHEN 1 THEN 'failed' ELSE 'cancelled' END AS status, k % 1000 AS duration,
  executions, steps, error_steps, input, cache_read, cache_write, output, reasoning, cost_nano_usd, derived_cost_nano_usd,
  price_version_first, price_version_last, first_tokens
FROM (
  SELECT (f.place * 10000000000 + f.started_at / CAST(?5 AS INTEGER)) * 4000
    + CASE e.end_status WHEN 'completed' THEN 0 WHEN 'failed' THEN 1000 ELSE 2000 END
    + CAST(ln(1 + max(e.ended_at - e.started_at, 0)) * 20 AS INTEGER) AS k, count(*) AS executions,
    sum(e.steps) AS steps, sum(e.error_steps) AS error_steps, sum(e.input_tokens) AS input,
    sum(e.cache_read_tokens) AS cache_read, sum(e.cache_write_tokens) AS cache_write, sum(e.output_tokens) AS output,
    sum(e.reasoning_tokens) AS reasoning, sum(e.cost_nano_usd) AS cost_nano_usd,
    sum(e.derived_cost_nano_usd) AS derived_cost_nano_usd, min(e.price_version_first) AS price_version_first,
    max(e.price_version_last) AS price_version_last,
    group_concat(CAST(ln(1 + max(e.first_token_at - e.started_at, 0)) * 20 AS INTEGER)) AS first_tokens
  FROM (
    SELECT v.key AS place, f.started_at, f.execution_id FROM json_each(?7) v CROSS JOIN execution_facets f
    WHERE f.project_id = ?1 AND f.facet = ?6 AND f.value = v.value AND f.started_at >= ?2 AND f.started_at < ?3
    LIMIT ?4
  ) f CROSS JOIN executions e INDEXED BY executions_for_stats
    ON e.project_id = ?1 AND e.started_at = f.started_at AND e.id = f.execution_id AND e.end_status IS NOT NULL
  WHERE ?8 = '[]' OR NOT EXISTS (
    SELECT 1 FROM json_each(?8) w
    WHERE NOT EXISTS (
      SELECT 1 FROM execution_facets x
      WHERE x.project_id = ?1 AND x.facet = w.value ->> 0 AND x.value = w.value ->> 1
        AND x.started_at = f.started_at AND x.execution_id = f.execution_id
    )
  )
  GROUP BY 1
)
