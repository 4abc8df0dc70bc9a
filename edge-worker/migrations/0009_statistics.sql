-- How often each kind and name of step took how long: a JSON object of `kind|name|class` and counts, names sealed, class `e`
-- for those that failed (protocol, `rollup`). NULL for what was stored before this migration. Lists never read it.
ALTER TABLE executions ADD COLUMN step_times TEXT;

-- Classes that are 5 % wide, as statistics tell times apart.
ALTER TABLE executions ADD COLUMN duration_class INTEGER
  GENERATED ALWAYS AS (CAST(ln(1 + max(ended_at - started_at, 0)) * 20 AS INTEGER)) VIRTUAL;
ALTER TABLE executions ADD COLUMN first_token_class INTEGER
  GENERATED ALWAYS AS (CAST(ln(1 + max(first_token_at - started_at, 0)) * 20 AS INTEGER)) VIRTUAL;

-- One index for the order by start and for statistics: the narrow one that it replaces was written just as often.
DROP INDEX executions_by_start;
DROP INDEX executions_for_stats;
CREATE INDEX executions_for_stats ON executions (
  project_id, started_at, id, end_status, ended_at, first_token_at, steps, error_steps,
  input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd,
  derived_cost_nano_usd, price_version_first, price_version_last
);

-- Sums over the ended executions that started on a day (UTC, counted from 1970). Triggers keep them, in the transaction that
-- changes the execution. Histograms are JSON objects of classes and counts, versions of `first-last` and counts.
CREATE TABLE execution_days (
  project_id TEXT NOT NULL,
  day INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  error_steps INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL,
  derived_cost_nano_usd INTEGER NOT NULL,
  durations TEXT NOT NULL,
  first_tokens TEXT NOT NULL,
  price_versions TEXT NOT NULL,
  PRIMARY KEY (project_id, day)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER execution_days_insert AFTER INSERT ON executions WHEN new.end_status IS NOT NULL BEGIN
  INSERT INTO execution_days
  SELECT new.project_id, new.started_at / 86400000, new.end_status = 'completed', new.end_status = 'failed',
    new.end_status = 'cancelled', new.steps, new.error_steps, new.input_tokens, new.cache_read_tokens, new.cache_write_tokens,
    new.output_tokens, new.reasoning_tokens, new.cost_nano_usd, new.derived_cost_nano_usd,
    json_object(CAST(new.duration_class AS TEXT), 1),
    iif(new.first_token_at IS NULL, '{}', json_object(CAST(new.first_token_class AS TEXT), 1)),
    iif(new.price_version_first IS NULL, '{}', json_object(new.price_version_first || '-' || new.price_version_last, 1))
  WHERE new.end_status IS NOT NULL
  ON CONFLICT (project_id, day) DO UPDATE SET
    completed = completed + (new.end_status = 'completed'),
    failed = failed + (new.end_status = 'failed'),
    cancelled = cancelled + (new.end_status = 'cancelled'),
    steps = steps + new.steps,
    error_steps = error_steps + new.error_steps,
    input_tokens = input_tokens + new.input_tokens,
    cache_read_tokens = cache_read_tokens + new.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + new.cache_write_tokens,
    output_tokens = output_tokens + new.output_tokens,
    reasoning_tokens = reasoning_tokens + new.reasoning_tokens,
    cost_nano_usd = cost_nano_usd + new.cost_nano_usd,
    derived_cost_nano_usd = derived_cost_nano_usd + new.derived_cost_nano_usd,
    durations = json_set(durations, '$."' || new.duration_class || '"', ifnull(durations ->> ('$."' || new.duration_class || '"'), 0) + 1),
    first_tokens = iif(new.first_token_at IS NULL, first_tokens,
      json_set(first_tokens, '$."' || new.first_token_class || '"',
        ifnull(first_tokens ->> ('$."' || new.first_token_class || '"'), 0) + 1)),
    price_versions = iif(new.price_version_first IS NULL, price_versions,
      json_set(price_versions, '$."' || new.price_version_first || '-' || new.price_version_last || '"',
        ifnull(price_versions ->> ('$."' || new.price_version_first || '-' || new.price_version_last || '"'), 0) + 1));
END;

CREATE TRIGGER execution_days_update AFTER UPDATE ON executions
WHEN (
  old.started_at, old.end_status, old.ended_at, old.first_token_at, old.steps, old.error_steps, old.input_tokens,
  old.cache_read_tokens, old.cache_write_tokens, old.output_tokens, old.reasoning_tokens, old.cost_nano_usd,
  old.derived_cost_nano_usd, old.price_version_first, old.price_version_last
) IS NOT (
  new.started_at, new.end_status, new.ended_at, new.first_token_at, new.steps, new.error_steps, new.input_tokens,
  new.cache_read_tokens, new.cache_write_tokens, new.output_tokens, new.reasoning_tokens, new.cost_nano_usd,
  new.derived_cost_nano_usd, new.price_version_first, new.price_version_last
) AND (old.end_status IS NOT NULL OR new.end_status IS NOT NULL)
BEGIN
  UPDATE execution_days SET
    completed = completed - (old.end_status = 'completed'),
    failed = failed - (old.end_status = 'failed'),
    cancelled = cancelled - (old.end_status = 'cancelled'),
    steps = steps - old.steps,
    error_steps = error_steps - old.error_steps,
    input_tokens = input_tokens - old.input_tokens,
    cache_read_tokens = cache_read_tokens - old.cache_read_tokens,
    cache_write_tokens = cache_write_tokens - old.cache_write_tokens,
    output_tokens = output_tokens - old.output_tokens,
    reasoning_tokens = reasoning_tokens - old.reasoning_tokens,
    cost_nano_usd = cost_nano_usd - old.cost_nano_usd,
    derived_cost_nano_usd = derived_cost_nano_usd - old.derived_cost_nano_usd,
    durations = json_set(durations, '$."' || old.duration_class || '"', ifnull(durations ->> ('$."' || old.duration_class || '"'), 0) - 1),
    first_tokens = iif(old.first_token_at IS NULL, first_tokens,
      json_set(first_tokens, '$."' || old.first_token_class || '"',
        ifnull(first_tokens ->> ('$."' || old.first_token_class || '"'), 0) - 1)),
    price_versions = iif(old.price_version_first IS NULL, price_versions,
      json_set(price_versions, '$."' || old.price_version_first || '-' || old.price_version_last || '"',
        ifnull(price_versions ->> ('$."' || old.price_version_first || '-' || old.price_version_last || '"'), 0) - 1))
  WHERE project_id = old.project_id AND day = old.started_at / 86400000 AND old.end_status IS NOT NULL;
  INSERT INTO execution_days
  SELECT new.project_id, new.started_at / 86400000, new.end_status = 'completed', new.end_status = 'failed',
    new.end_status = 'cancelled', new.steps, new.error_steps, new.input_tokens, new.cache_read_tokens, new.cache_write_tokens,
    new.output_tokens, new.reasoning_tokens, new.cost_nano_usd, new.derived_cost_nano_usd,
    json_object(CAST(new.duration_class AS TEXT), 1),
    iif(new.first_token_at IS NULL, '{}', json_object(CAST(new.first_token_class AS TEXT), 1)),
    iif(new.price_version_first IS NULL, '{}', json_object(new.price_version_first || '-' || new.price_version_last, 1))
  WHERE new.end_status IS NOT NULL
  ON CONFLICT (project_id, day) DO UPDATE SET
    completed = completed + (new.end_status = 'completed'),
    failed = failed + (new.end_status = 'failed'),
    cancelled = cancelled + (new.end_status = 'cancelled'),
    steps = steps + new.steps,
    error_steps = error_steps + new.error_steps,
    input_tokens = input_tokens + new.input_tokens,
    cache_read_tokens = cache_read_tokens + new.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + new.cache_write_tokens,
    output_tokens = output_tokens + new.output_tokens,
    reasoning_tokens = reasoning_tokens + new.reasoning_tokens,
    cost_nano_usd = cost_nano_usd + new.cost_nano_usd,
    derived_cost_nano_usd = derived_cost_nano_usd + new.derived_cost_nano_usd,
    durations = json_set(durations, '$."' || new.duration_class || '"', ifnull(durations ->> ('$."' || new.duration_class || '"'), 0) + 1),
    first_tokens = iif(new.first_token_at IS NULL, first_tokens,
      json_set(first_tokens, '$."' || new.first_token_class || '"',
        ifnull(first_tokens ->> ('$."' || new.first_token_class || '"'), 0) + 1)),
    price_versions = iif(new.price_version_first IS NULL, price_versions,
      json_set(price_versions, '$."' || new.price_version_first || '-' || new.price_version_last || '"',
        ifnull(price_versions ->> ('$."' || new.price_version_first || '-' || new.price_version_last || '"'), 0) + 1));
END;

CREATE TRIGGER execution_days_delete AFTER DELETE ON executions WHEN old.end_status IS NOT NULL BEGIN
  UPDATE execution_days SET
    completed = completed - (old.end_status = 'completed'),
    failed = failed - (old.end_status = 'failed'),
    cancelled = cancelled - (old.end_status = 'cancelled'),
    steps = steps - old.steps,
    error_steps = error_steps - old.error_steps,
    input_tokens = input_tokens - old.input_tokens,
    cache_read_tokens = cache_read_tokens - old.cache_read_tokens,
    cache_write_tokens = cache_write_tokens - old.cache_write_tokens,
    output_tokens = output_tokens - old.output_tokens,
    reasoning_tokens = reasoning_tokens - old.reasoning_tokens,
    cost_nano_usd = cost_nano_usd - old.cost_nano_usd,
    derived_cost_nano_usd = derived_cost_nano_usd - old.derived_cost_nano_usd,
    durations = json_set(durations, '$."' || old.duration_class || '"', ifnull(durations ->> ('$."' || old.duration_class || '"'), 0) - 1),
    first_tokens = iif(old.first_token_at IS NULL, first_tokens,
      json_set(first_tokens, '$."' || old.first_token_class || '"',
        ifnull(first_tokens ->> ('$."' || old.first_token_class || '"'), 0) - 1)),
    price_versions = iif(old.price_version_first IS NULL, price_versions,
      json_set(price_versions, '$."' || old.price_version_first || '-' || old.price_version_last || '"',
        ifnull(price_versions ->> ('$."' || old.price_version_first || '-' || old.price_version_last || '"'), 0) - 1))
  WHERE project_id = old.project_id AND day = old.started_at / 86400000 AND old.end_status IS NOT NULL;
  DELETE FROM execution_days
  WHERE project_id = old.project_id AND day = old.started_at / 86400000 AND completed + failed + cancelled = 0;
END;

-- What was stored before this migration.
INSERT INTO execution_days
SELECT project_id, started_at / 86400000 AS day, sum(end_status = 'completed'), sum(end_status = 'failed'),
  sum(end_status = 'cancelled'), sum(steps), sum(error_steps), sum(input_tokens), sum(cache_read_tokens),
  sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_nano_usd), sum(derived_cost_nano_usd),
  (SELECT json_group_object(CAST(class AS TEXT), n) FROM (
    SELECT x.duration_class AS class, count(*) AS n FROM executions x
    WHERE x.project_id = e.project_id AND x.end_status IS NOT NULL
      AND x.started_at >= e.started_at / 86400000 * 86400000 AND x.started_at < (e.started_at / 86400000 + 1) * 86400000
    GROUP BY 1
  )),
  (SELECT json_group_object(CAST(class AS TEXT), n) FROM (
    SELECT x.first_token_class AS class, count(*) AS n FROM executions x
    WHERE x.project_id = e.project_id AND x.end_status IS NOT NULL
      AND x.started_at >= e.started_at / 86400000 * 86400000 AND x.started_at < (e.started_at / 86400000 + 1) * 86400000
      AND x.first_token_at IS NOT NULL
    GROUP BY 1
  )),
  (SELECT json_group_object(versions, n) FROM (
    SELECT x.price_version_first || '-' || x.price_version_last AS versions, count(*) AS n FROM executions x
    WHERE x.project_id = e.project_id AND x.end_status IS NOT NULL
      AND x.started_at >= e.started_at / 86400000 * 86400000 AND x.started_at < (e.started_at / 86400000 + 1) * 86400000
      AND x.price_version_first IS NOT NULL
    GROUP BY 1
  ))
FROM executions e WHERE end_status IS NOT NULL GROUP BY project_id, day;
