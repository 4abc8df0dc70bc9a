CREATE TABLE IF NOT EXISTS session_buckets (
  session TEXT PRIMARY KEY,
  buckets TEXT NOT NULL,
  -- From then on they are as if never used.
  full_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS months (
  month TEXT PRIMARY KEY,
  steps INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL,
  told INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- `day` is empty for the sum of days long past.
CREATE TABLE IF NOT EXISTS counts (
  day TEXT NOT NULL,
  operation TEXT NOT NULL,
  outcome TEXT NOT NULL,
  requests INTEGER NOT NULL,
  events INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  PRIMARY KEY (day, operation, outcome)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reports (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
