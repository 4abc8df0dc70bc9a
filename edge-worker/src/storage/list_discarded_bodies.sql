SELECT key FROM discarded_bodies ORDER BY key LIMIT ?1
