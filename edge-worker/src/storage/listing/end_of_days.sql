)
WHERE true
