-- Sums over the newest ?6 executions in the window of each of the values ?5 (JSON) of the facet ?4, from the index of statistics
-- alone: no row is read.
SELECT v.value, count(*) AS executions, min(e.started_at) AS first_at,
  sum(e.error_steps > 0 OR ifnull(e.end_status, '') = 'failed') AS failed,
  sum(e.steps) AS steps, sum(e.error_steps) AS error_steps, sum(e.input_tokens) AS input,
  sum(e.cache_read_tokens) AS cache_read, sum(e.cache_write_tokens) AS cache_write,
  sum(e.output_tokens) AS output, sum(e.reasoning_tokens) AS reasoning, sum(e.cost_nano_usd) AS cost_nano_usd,
  sum(e.derived_cost_nano_usd) AS derived_cost_nano_usd, min(e.price_version_first) AS price_version_first,
  max(e.price_version_last) AS price_version_last
FROM json_each(?5) v CROSS JOIN executions e INDEXED BY executions_for_stats
  ON e.project_id = ?1 AND (e.started_at, e.id) IN (
    SELECT started_at, execution_id FROM execution_facets
    WHERE project_id = ?1 AND facet = ?4 AND value = v.value AND started_at >= ?2 AND started_at < ?3
    ORDER BY started_at DESC LIMIT ?6
  )
GROUP BY v.value
