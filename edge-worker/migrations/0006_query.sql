-- What executions are found by: a row for each label, status and trait. Triggers keep them, in the transaction that
-- changes the execution, whoever changes it. Labels stand sealed, as in `executions`.
CREATE TABLE execution_facets (
  project_id TEXT NOT NULL,
  facet TEXT NOT NULL,
  value TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  execution_id TEXT NOT NULL,
  PRIMARY KEY (project_id, facet, value, started_at, execution_id)
) STRICT, WITHOUT ROWID;

-- Until when nothing had arrived when the execution was given up, Unix ms. Any later event takes that back.
ALTER TABLE executions ADD COLUMN abandoned_at INTEGER;
-- When the first token of any model came, Unix ms; NULL too for what was stored before this migration.
ALTER TABLE executions ADD COLUMN first_token_at INTEGER;

ALTER TABLE executions DROP COLUMN status;
ALTER TABLE executions ADD COLUMN status TEXT GENERATED ALWAYS AS (
  CASE
    WHEN end_status IS NOT NULL THEN end_status
    WHEN abandoned_at >= updated_at THEN 'abandoned'
    WHEN substr(state_rank, 17) = '1' THEN 'waiting'
    ELSE 'running'
  END
) VIRTUAL;
ALTER TABLE executions ADD COLUMN duration_ms INTEGER
  GENERATED ALWAYS AS (max(ended_at - started_at, 0)) VIRTUAL;
ALTER TABLE executions ADD COLUMN tokens INTEGER GENERATED ALWAYS AS (
  input_tokens + cache_read_tokens + cache_write_tokens + output_tokens + reasoning_tokens
) VIRTUAL;
-- Whether something in it failed.
ALTER TABLE executions ADD COLUMN failed INTEGER
  GENERATED ALWAYS AS (error_steps > 0 OR ifnull(end_status, '') = 'failed') VIRTUAL;
-- The day (UTC) of its start, counted from 1970, once it has ended: what is sorted by anything but the start is
-- sorted within days, so that a page reads as many days as its window has, and one that goes on is not written
-- again with each batch.
ALTER TABLE executions ADD COLUMN ended_of_day INTEGER
  GENERATED ALWAYS AS (iif(end_status IS NULL, NULL, started_at / 86400000)) VIRTUAL;

CREATE INDEX executions_by_duration ON executions (project_id, ended_of_day, duration_ms, id)
  WHERE ended_of_day IS NOT NULL;
CREATE INDEX executions_by_cost ON executions (project_id, ended_of_day, cost_nano_usd, id)
  WHERE ended_of_day IS NOT NULL;
CREATE INDEX executions_by_tokens ON executions (project_id, ended_of_day, tokens, id)
  WHERE ended_of_day IS NOT NULL;
-- Everything that statistics need, so that they read no row. Stored columns only: one that is computed would send the
-- planner back to the row.
CREATE INDEX executions_for_stats ON executions (
  project_id, started_at, id, end_status, ended_at, first_token_at, steps, error_steps,
  input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd
) WHERE end_status IS NOT NULL;

CREATE TRIGGER execution_facets_insert AFTER INSERT ON executions BEGIN
  INSERT INTO execution_facets
  SELECT new.project_id, facet, value, new.started_at, new.id FROM (
    SELECT j.key AS facet, j.value FROM json_each(json_object(
      'status', new.status, 'name', new.name, 'agent', new.agent, 'pipeline', new.pipeline, 'user', new.user,
      'session', new.session, 'environment', new.environment, 'release', new.release,
      'error', iif(new.failed, 'true', NULL)
    )) j
    UNION ALL SELECT 'tag', j.value FROM json_each(new.tags) j
    UNION ALL SELECT 'model', j.value FROM json_each(new.models) j
    UNION ALL SELECT 'tool', j.value FROM json_each(new.tools) j
  ) WHERE value IS NOT NULL;
END;

CREATE TRIGGER execution_facets_update AFTER UPDATE ON executions
WHEN old.started_at <> new.started_at OR old.status <> new.status OR old.failed <> new.failed
  OR old.start_rank IS NOT new.start_rank OR old.models <> new.models OR old.tools <> new.tools
BEGIN
  DELETE FROM execution_facets
  WHERE project_id = old.project_id AND started_at = old.started_at AND execution_id = old.id
  AND (facet, value) IN (
    SELECT facet, value FROM (
      SELECT j.key AS facet, j.value FROM json_each(json_object(
        'status', old.status, 'name', old.name, 'agent', old.agent, 'pipeline', old.pipeline, 'user', old.user,
        'session', old.session, 'environment', old.environment, 'release', old.release,
        'error', iif(old.failed, 'true', NULL)
      )) j
      UNION ALL SELECT 'tag', j.value FROM json_each(old.tags) j
      UNION ALL SELECT 'model', j.value FROM json_each(old.models) j
      UNION ALL SELECT 'tool', j.value FROM json_each(old.tools) j
    ) WHERE value IS NOT NULL
  )
  -- What stays as it is, is not written again.
  AND NOT (
    started_at = new.started_at AND CASE facet
      WHEN 'status' THEN value = new.status
      WHEN 'name' THEN value IS new.name
      WHEN 'agent' THEN value IS new.agent
      WHEN 'pipeline' THEN value IS new.pipeline
      WHEN 'user' THEN value IS new.user
      WHEN 'session' THEN value IS new.session
      WHEN 'environment' THEN value IS new.environment
      WHEN 'release' THEN value IS new.release
      WHEN 'error' THEN new.failed
      WHEN 'tag' THEN value IN (SELECT j.value FROM json_each(new.tags) j)
      WHEN 'model' THEN value IN (SELECT j.value FROM json_each(new.models) j)
      ELSE value IN (SELECT j.value FROM json_each(new.tools) j)
    END
  );
  INSERT INTO execution_facets
  SELECT new.project_id, facet, value, new.started_at, new.id FROM (
    SELECT j.key AS facet, j.value FROM json_each(json_object(
      'status', new.status, 'name', new.name, 'agent', new.agent, 'pipeline', new.pipeline, 'user', new.user,
      'session', new.session, 'environment', new.environment, 'release', new.release,
      'error', iif(new.failed, 'true', NULL)
    )) j
    UNION ALL SELECT 'tag', j.value FROM json_each(new.tags) j
    UNION ALL SELECT 'model', j.value FROM json_each(new.models) j
    UNION ALL SELECT 'tool', j.value FROM json_each(new.tools) j
  ) WHERE value IS NOT NULL
  ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER execution_facets_delete AFTER DELETE ON executions BEGIN
  DELETE FROM execution_facets
  WHERE project_id = old.project_id AND started_at = old.started_at AND execution_id = old.id
  AND (facet, value) IN (
    SELECT facet, value FROM (
      SELECT j.key AS facet, j.value FROM json_each(json_object(
        'status', old.status, 'name', old.name, 'agent', old.agent, 'pipeline', old.pipeline, 'user', old.user,
        'session', old.session, 'environment', old.environment, 'release', old.release,
        'error', iif(old.failed, 'true', NULL)
      )) j
      UNION ALL SELECT 'tag', j.value FROM json_each(old.tags) j
      UNION ALL SELECT 'model', j.value FROM json_each(old.models) j
      UNION ALL SELECT 'tool', j.value FROM json_each(old.tools) j
    ) WHERE value IS NOT NULL
  );
END;

-- What was stored before this migration.
INSERT INTO execution_facets
SELECT e.project_id, j.key, j.value, e.started_at, e.id FROM executions e, json_each(json_object(
  'status', e.status, 'name', e.name, 'agent', e.agent, 'pipeline', e.pipeline, 'user', e.user,
  'session', e.session, 'environment', e.environment, 'release', e.release, 'error', iif(e.failed, 'true', NULL)
)) j WHERE j.value IS NOT NULL;
INSERT INTO execution_facets
SELECT e.project_id, 'tag', j.value, e.started_at, e.id FROM executions e, json_each(e.tags) j;
INSERT INTO execution_facets
SELECT e.project_id, 'model', j.value, e.started_at, e.id FROM executions e, json_each(e.models) j;
INSERT INTO execution_facets
SELECT e.project_id, 'tool', j.value, e.started_at, e.id FROM executions e, json_each(e.tools) j;
