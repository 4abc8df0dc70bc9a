ORDER BY e.started_at DESC, e.id DESC LIMIT ?16
