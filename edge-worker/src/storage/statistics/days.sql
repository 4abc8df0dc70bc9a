-- Whole days from ?2 to before ?3, as triggers keep them.
SELECT day, completed, failed, cancelled, steps, error_steps, input_tokens, cache_read_tokens, cache_write_tokens,
  output_tokens, reasoning_tokens, cost_nano_usd, derived_cost_nano_usd, durations, first_tokens, price_versions
FROM execution_days WHERE project_id = ?1 AND day >= ?2 AND day < ?3
