-- What was deleted, so that a late batch does not bring a piece of it back.
CREATE TABLE tombstones (
  project_id TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  deleted_at INTEGER NOT NULL,
  PRIMARY KEY (project_id, execution_id)
) STRICT, WITHOUT ROWID;

-- Values in KV whose rows are gone: noted in the transaction that removes the rows, struck off when the
-- value is gone too, so that a crash between the two leaves nothing behind.
CREATE TABLE discarded_bodies (key TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Deletions that take more than one request: everything of a user, a subject, a project.
CREATE TABLE deletions (
  project_id TEXT NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  ordered_at INTEGER NOT NULL,
  finished_at INTEGER,
  executions INTEGER NOT NULL,
  PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;

-- How far work in the background has come.
CREATE TABLE chores (name TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
