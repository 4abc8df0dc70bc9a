SELECT '' AS day, operation, outcome, sum(requests) AS requests, sum(events) AS events, sum(rejected) AS rejected
FROM counts GROUP BY operation, outcome ORDER BY operation, outcome
