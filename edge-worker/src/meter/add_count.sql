INSERT INTO counts (day, operation, outcome, requests, events, rejected) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT DO UPDATE SET
  requests = requests + excluded.requests, events = events + excluded.events, rejected = rejected + excluded.rejected
