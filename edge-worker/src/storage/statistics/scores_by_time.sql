SELECT name, started_at / CAST(?5 AS INTEGER) AS bucket, count(*) AS scores, count(number) AS numbers,
  total(number) AS sum, min(number) AS min, max(number) AS max
FROM s GROUP BY 1, 2
