ORDER BY e.duration_ms DESC, e.id DESC LIMIT ?16
