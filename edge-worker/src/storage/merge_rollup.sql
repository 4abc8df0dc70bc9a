-- Adds a batch's roll-up to its execution, if and only if this attempt stored the batch. Every
-- assignment gives the same result in whatever order batches arrive (protocol, `rollup`).
INSERT INTO executions (
  project_id, id, subject, provenance, received_at, updated_at, started_at,
  start_rank, start_writer, start_k, name, agent, pipeline, user, session, environment, release, tags,
  state_rank, end_rank, end_writer, end_k, end_status, ended_at,
  batches, events, rejected, steps, error_steps,
  input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd,
  models, tools, openers, closers, expected, adopted_closers, adopted_expected, dropped, first_token_at,
  derived_cost_nano_usd, price_version_first, price_version_last, step_times,
  labels, step_names
)
SELECT
  ?1, ?2, ?5, ?6, ?7, ?7, ?8,
  ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
  ?20, ?21, ?22, ?23, ?24, ?25,
  1, ?26, ?27, ?28, ?29,
  ?30, ?31, ?32, ?33, ?34, ?35,
  ?36, ?37, ?38, ?39, ?40, ?41, ?42, ?43, ?45,
  ?46, ?47, ?48, ?49,
  ?50, ?51
WHERE EXISTS (
  SELECT 1 FROM segments
  WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4 AND attempt = ?44
)
ON CONFLICT (project_id, id) DO UPDATE SET
  received_at = min(received_at, excluded.received_at),
  updated_at = max(updated_at, excluded.updated_at),
  started_at = min(started_at, excluded.started_at),
  start_rank = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.start_rank, start_rank),
  start_writer = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.start_writer, start_writer),
  start_k = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.start_k, start_k),
  name = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.name, name),
  agent = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.agent, agent),
  pipeline = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.pipeline, pipeline),
  user = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.user, user),
  session = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.session, session),
  environment = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.environment, environment),
  release = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.release, release),
  tags = iif(excluded.start_rank < ifnull(start_rank, '~'), excluded.tags, tags),
  state_rank = max(state_rank, excluded.state_rank),
  end_rank = iif(excluded.end_rank > ifnull(end_rank, ''), excluded.end_rank, end_rank),
  end_writer = iif(excluded.end_rank > ifnull(end_rank, ''), excluded.end_writer, end_writer),
  end_k = iif(excluded.end_rank > ifnull(end_rank, ''), excluded.end_k, end_k),
  end_status = iif(excluded.end_rank > ifnull(end_rank, ''), excluded.end_status, end_status),
  ended_at = iif(excluded.end_rank > ifnull(end_rank, ''), excluded.ended_at, ended_at),
  batches = batches + excluded.batches,
  events = events + excluded.events,
  rejected = rejected + excluded.rejected,
  steps = steps + excluded.steps,
  error_steps = error_steps + excluded.error_steps,
  input_tokens = input_tokens + excluded.input_tokens,
  cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
  cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
  output_tokens = output_tokens + excluded.output_tokens,
  reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
  cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd,
  models = iif(models = excluded.models, models, (
    SELECT json_group_array(value) FROM (
      SELECT value FROM json_each(models) UNION SELECT value FROM json_each(excluded.models)
      ORDER BY value LIMIT 32
    )
  )),
  tools = iif(tools = excluded.tools, tools, (
    SELECT json_group_array(value) FROM (
      SELECT value FROM json_each(tools) UNION SELECT value FROM json_each(excluded.tools)
      ORDER BY value LIMIT 32
    )
  )),
  step_times = iif(excluded.step_times = '{}' OR step_times IS NULL, step_times, (
    SELECT json_group_object(key, count) FROM (
      SELECT key, sum(value) AS count FROM (
        SELECT key, value FROM json_each(step_times) UNION ALL SELECT key, value FROM json_each(excluded.step_times)
      )
      GROUP BY key ORDER BY key LIMIT 128
    )
  )),
  labels = json_patch(labels, excluded.labels),
  step_names = json_patch(step_names, excluded.step_names),
  openers = openers + excluded.openers,
  closers = closers + excluded.closers,
  expected = expected + excluded.expected,
  adopted_closers = adopted_closers + excluded.adopted_closers,
  adopted_expected = adopted_expected + excluded.adopted_expected,
  dropped = dropped + excluded.dropped,
  first_token_at = ifnull(min(first_token_at, excluded.first_token_at), ifnull(first_token_at, excluded.first_token_at)),
  derived_cost_nano_usd = derived_cost_nano_usd + excluded.derived_cost_nano_usd,
  price_version_first = ifnull(
    min(price_version_first, excluded.price_version_first), ifnull(price_version_first, excluded.price_version_first)
  ),
  price_version_last = ifnull(
    max(price_version_last, excluded.price_version_last), ifnull(price_version_last, excluded.price_version_last)
  )
