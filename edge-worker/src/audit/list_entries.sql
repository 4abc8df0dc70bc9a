SELECT seq, at, actor, action, target, text, hash FROM entries
WHERE seq < ?1
  AND (?2 IS NULL OR action = ?2)
  AND (?3 IS NULL OR actor = ?3)
  AND (?4 IS NULL OR target = ?4)
  AND (?5 IS NULL OR at >= ?5)
  AND (?6 IS NULL OR at < ?6)
ORDER BY seq DESC LIMIT ?7
