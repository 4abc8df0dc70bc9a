INSERT INTO counts (day, operation, outcome, requests, events, rejected)
SELECT '', operation, outcome, sum(requests), sum(events), sum(rejected) FROM counts
WHERE day > '' AND day < ?1 GROUP BY operation, outcome
ON CONFLICT DO UPDATE SET
  requests = requests + excluded.requests, events = events + excluded.events, rejected = rejected + excluded.rejected
