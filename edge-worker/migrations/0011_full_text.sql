-- Full text, where a project asks for it: the tokens of an execution's words (protocol, `search`), never the words of a
-- hashed index. A row for each execution, in the order of their starts: 2^20 numbers a millisecond.
CREATE TABLE execution_texts (
  id INTEGER PRIMARY KEY,
  project_id TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  -- How the project was searched when the tokens were made.
  search TEXT NOT NULL,
  -- A JSON array.
  tokens TEXT NOT NULL,
  UNIQUE (project_id, execution_id)
) STRICT;

-- Without positions: words are asked for, not phrases.
CREATE VIRTUAL TABLE execution_words USING fts5(
  tokens, content = 'execution_texts', content_rowid = 'id', detail = none, columnsize = 0,
  tokenize = 'unicode61 remove_diacritics 0'
);
-- What is deleted is not left in the index for later merges to drop.
INSERT INTO execution_words (execution_words, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER execution_texts_insert AFTER INSERT ON execution_texts BEGIN
  INSERT INTO execution_words (rowid, tokens) VALUES (new.id, new.tokens);
END;

CREATE TRIGGER execution_texts_update AFTER UPDATE ON execution_texts
WHEN old.id <> new.id OR old.tokens <> new.tokens
BEGIN
  INSERT INTO execution_words (execution_words, rowid, tokens) VALUES ('delete', old.id, old.tokens);
  INSERT INTO execution_words (rowid, tokens) VALUES (new.id, new.tokens);
END;

CREATE TRIGGER execution_texts_delete AFTER DELETE ON execution_texts BEGIN
  INSERT INTO execution_words (execution_words, rowid, tokens) VALUES ('delete', old.id, old.tokens);
END;

-- A start that turns out to be earlier moves the row.
CREATE TRIGGER execution_texts_follow AFTER UPDATE OF started_at ON executions
WHEN old.started_at <> new.started_at
BEGIN
  UPDATE execution_texts SET id = (
    SELECT ifnull(max(t.id) + 1, min(new.started_at, 8700000000000) * 1048576) FROM execution_texts t
    WHERE t.id >= min(new.started_at, 8700000000000) * 1048576
      AND t.id < (min(new.started_at, 8700000000000) + 1) * 1048576
  )
  WHERE project_id = new.project_id AND execution_id = new.id;
END;

CREATE TRIGGER execution_texts_go AFTER DELETE ON executions BEGIN
  DELETE FROM execution_texts WHERE project_id = old.project_id AND execution_id = old.id;
END;
