-- A key's public id is a piece of its digest: nothing to keep in step, and no help in guessing the key.
ALTER TABLE api_keys ADD COLUMN id TEXT GENERATED ALWAYS AS ('key_' || substr(digest, 1, 16)) VIRTUAL;
ALTER TABLE api_keys ADD COLUMN revoked_at INTEGER;
-- A day (UTC), not a time: written at most once a day.
ALTER TABLE api_keys ADD COLUMN last_used_on TEXT;

CREATE INDEX api_keys_by_project ON api_keys (project_id, id);
