-- A page of an execution's segments in order of (writer, k), bodies as hex.
SELECT writer, k, n, count, sha256, batch_id, provenance, received_at, envelope, attempt, bytes, price_version, scores,
  iif(body IS NULL, NULL, hex(body)) AS body
FROM segments
WHERE project_id = ?1 AND execution_id = ?2 AND (writer, k) > (?3, ?4)
ORDER BY writer, k LIMIT ?5
