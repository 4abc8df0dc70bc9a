INSERT INTO entries (seq, at, actor, action, target, text, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
