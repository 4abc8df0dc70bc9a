-- What is kept of a batch that came from a file: when, by whom, and on whose word. A table of its own, because a column behind
-- `segments.body` would send every reader through the body's overflow pages, and what is sent pays nothing for it.
CREATE TABLE imports (
  project_id TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  writer TEXT NOT NULL,
  k INTEGER NOT NULL,
  imported_at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  -- The verifier key and the attestation that stood in for the MAC; NULL where the MAC held.
  key TEXT,
  attestation TEXT,
  -- HMAC under the root: a record that the worker did not make counts for nothing.
  tag TEXT NOT NULL,
  PRIMARY KEY (project_id, execution_id, writer, k)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER imports_delete AFTER DELETE ON segments BEGIN
  DELETE FROM imports
  WHERE project_id = old.project_id AND execution_id = old.execution_id AND writer = old.writer AND k = old.k;
END;
