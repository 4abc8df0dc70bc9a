DELETE FROM discarded_bodies WHERE key IN (SELECT value FROM json_each(?1))
