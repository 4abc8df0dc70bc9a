SELECT day, operation, outcome, requests, events, rejected FROM counts WHERE day >= ?1
ORDER BY day DESC, operation, outcome
