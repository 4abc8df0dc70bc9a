-- One segment, its body as hex.
SELECT writer, k, n, count, sha256, batch_id, provenance, received_at, envelope, attempt, bytes, price_version, scores,
  iif(body IS NULL, NULL, hex(body)) AS body
FROM segments
WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4
