ORDER BY e.tokens DESC, e.id DESC LIMIT ?16
