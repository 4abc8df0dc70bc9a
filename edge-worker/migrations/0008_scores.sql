-- Scores of executions and their steps, a row each: those of a batch that was stored, and those that keys gave. Names,
-- texts and comments stand sealed. They go with their execution.
CREATE TABLE scores (
  project_id TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  -- Of a session: writer, a dot, the event's number. Of a key: as it was given, without a dot.
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  number REAL,
  text TEXT,
  step TEXT,
  comment TEXT,
  source TEXT,
  -- `session`, or the id of an API key.
  author TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  PRIMARY KEY (project_id, execution_id, id)
) STRICT, WITHOUT ROWID;

-- How many of a batch's scores are rows; NULL for one that was stored before scores were kept.
ALTER TABLE segments ADD COLUMN scores INTEGER;

-- An execution is found by the names of its scores, as by its labels: a facet row a name.
CREATE TRIGGER scores_insert AFTER INSERT ON scores BEGIN
  INSERT INTO execution_facets
  SELECT e.project_id, 'score', new.name, e.started_at, e.id FROM executions e
  WHERE e.project_id = new.project_id AND e.id = new.execution_id
  ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER scores_follow AFTER UPDATE OF started_at ON executions WHEN old.started_at <> new.started_at BEGIN
  UPDATE execution_facets SET started_at = new.started_at
  WHERE project_id = old.project_id AND facet = 'score' AND started_at = old.started_at AND execution_id = old.id
  AND value IN (SELECT name FROM scores WHERE project_id = old.project_id AND execution_id = old.id);
END;

CREATE TRIGGER scores_go AFTER DELETE ON executions BEGIN
  DELETE FROM execution_facets
  WHERE project_id = old.project_id AND facet = 'score' AND started_at = old.started_at AND execution_id = old.id
  AND value IN (SELECT name FROM scores WHERE project_id = old.project_id AND execution_id = old.id);
  DELETE FROM scores WHERE project_id = old.project_id AND execution_id = old.id;
END;
