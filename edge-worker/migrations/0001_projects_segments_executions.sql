-- Projects and API keys: the truth. The hot path reads copies of both from KV.
CREATE TABLE projects (
  id TEXT NOT NULL PRIMARY KEY,
  config TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  digest TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL,
  role TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;

-- One row a batch: its bytes as received, or where they are in KV (`body` is then NULL), and its
-- envelope. WITHOUT ROWID, because a separate key index would bill a second written row a batch.
-- `body` stands last: what reads only the columns before it never touches its overflow pages.
CREATE TABLE segments (
  project_id TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  writer TEXT NOT NULL,
  k INTEGER NOT NULL,
  n INTEGER NOT NULL,
  count INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  batch_id TEXT NOT NULL,
  kid TEXT NOT NULL,
  attempt TEXT NOT NULL,
  provenance TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  -- Smallest and largest index of the messages it holds, so that a reader that resolves ranges opens only
  -- the batches it needs.
  message_first INTEGER,
  message_last INTEGER,
  envelope TEXT NOT NULL,
  body ANY,
  PRIMARY KEY (project_id, execution_id, writer, k)
) STRICT, WITHOUT ROWID;

-- The roll-up of an execution, merged from its batches in any order of arrival (protocol, `rollup`).
CREATE TABLE executions (
  project_id TEXT NOT NULL,
  id TEXT NOT NULL,
  subject TEXT NOT NULL,
  provenance TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  start_rank TEXT,
  start_writer TEXT,
  start_k INTEGER,
  name TEXT,
  agent TEXT,
  pipeline TEXT,
  user TEXT,
  session TEXT,
  environment TEXT,
  release TEXT,
  tags TEXT NOT NULL,
  state_rank TEXT NOT NULL,
  end_rank TEXT,
  end_writer TEXT,
  end_k INTEGER,
  end_status TEXT,
  ended_at INTEGER,
  batches INTEGER NOT NULL,
  events INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  error_steps INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL,
  models TEXT NOT NULL,
  tools TEXT NOT NULL,
  openers INTEGER NOT NULL,
  closers INTEGER NOT NULL,
  expected INTEGER NOT NULL,
  adopted_closers INTEGER NOT NULL,
  adopted_expected INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  status TEXT NOT NULL GENERATED ALWAYS AS (
    CASE
      WHEN end_status IS NOT NULL THEN end_status
      WHEN substr(state_rank, 17) = '1' THEN 'waiting'
      ELSE 'running'
    END
  ) VIRTUAL,
  PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX executions_by_start ON executions (project_id, started_at DESC, id DESC);
