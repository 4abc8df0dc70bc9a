INSERT INTO months (month, steps, bytes, cost_nano_usd, told) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT DO UPDATE SET
  steps = excluded.steps, bytes = excluded.bytes, cost_nano_usd = excluded.cost_nano_usd, told = excluded.told
