ORDER BY e.cost_nano_usd DESC, e.id DESC LIMIT ?16
