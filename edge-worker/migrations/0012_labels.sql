-- The labels of an execution and the names of its steps, sealed: JSON objects by key and blind index (protocol, `at_rest::labels`).
-- The columns that are found and compared (name, agent, …, `step_times`) hold the indexes. Lists never read `step_names`.
ALTER TABLE executions ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE executions ADD COLUMN step_names TEXT NOT NULL DEFAULT '{}';
-- The same of a score: its name, text, step and source; and its comment.
ALTER TABLE scores ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE scores ADD COLUMN comment_text TEXT NOT NULL DEFAULT '{}';

-- What no index of the row names any more goes once there is much of it: sets and step times are capped, these are not.
-- An index has 25 characters and stands between the two bars of a key of `step_times`.
CREATE TRIGGER execution_labels_bound AFTER UPDATE OF labels, step_names ON executions
WHEN length(new.labels) > 65536 AND new.labels <> old.labels
  OR length(new.step_names) > 65536 AND new.step_names <> old.step_names
BEGIN
  UPDATE executions SET
    labels = (
      SELECT json_group_object(k.key, json((
        SELECT json_group_object(l.key, l.value) FROM json_each(k.value) l
        WHERE l.key IN (new.name, new.agent, new.pipeline, new.user, new.session, new.environment, new.release)
          OR l.key IN (SELECT j.value FROM json_each(new.tags) j)
          OR l.key IN (SELECT j.value FROM json_each(new.models) j)
          OR l.key IN (SELECT j.value FROM json_each(new.tools) j)
      ))) FROM json_each(new.labels) k
    ),
    step_names = (
      SELECT json_group_object(k.key, json((
        SELECT json_group_object(l.key, l.value) FROM json_each(k.value) l
        WHERE l.key IN (SELECT substr(j.key, instr(j.key, '|') + 1, 25) FROM json_each(new.step_times) j)
      ))) FROM json_each(new.step_names) k
    )
  WHERE project_id = new.project_id AND id = new.id;
END;
