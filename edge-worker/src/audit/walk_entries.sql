SELECT seq, at, actor, action, target, text, hash FROM entries WHERE seq > ?1 ORDER BY seq LIMIT ?2
