-- Every version of every project's prices. The current one stands in the project's configuration, which the hot path has
-- at hand; a trigger keeps each in the transaction that makes it, and nothing changes one afterwards.
CREATE TABLE price_tables (
  project_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  -- As it stands in the configuration, JSON.
  prices TEXT NOT NULL,
  PRIMARY KEY (project_id, version)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER price_tables_keep AFTER UPDATE OF config ON projects
-- A text that is no JSON is for whoever reads the configuration to refuse.
WHEN CASE WHEN json_valid(new.config) AND json_valid(old.config)
  THEN ifnull(new.config ->> '$.prices.version', 0) > ifnull(old.config ->> '$.prices.version', 0) END
BEGIN
  INSERT INTO price_tables VALUES (new.id, new.config ->> '$.prices.version', new.config -> '$.prices');
END;

-- The version that a batch's costs were derived from, where any were: verification derives them again.
ALTER TABLE segments ADD COLUMN price_version INTEGER;

-- The part of `cost_nano_usd` that was derived, and the first and last version it was derived from.
ALTER TABLE executions ADD COLUMN derived_cost_nano_usd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN price_version_first INTEGER;
ALTER TABLE executions ADD COLUMN price_version_last INTEGER;

DROP INDEX executions_for_stats;
CREATE INDEX executions_for_stats ON executions (
  project_id, started_at, id, end_status, ended_at, first_token_at, steps, error_steps,
  input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd,
  derived_cost_nano_usd, price_version_first, price_version_last
) WHERE end_status IS NOT NULL;
