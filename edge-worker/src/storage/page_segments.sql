-- A page of an execution's segments in order of (writer, k), bodies as hex, with what is kept of those that were imported.
SELECT s.writer, s.k, s.n, s.count, s.sha256, s.batch_id, s.provenance, s.received_at, s.envelope, s.attempt, s.bytes, s.price_version, s.scores,
  m.imported_at, m.actor AS import_actor, m.key AS import_key, m.attestation AS import_attestation, m.tag AS import_tag,
  iif(s.body IS NULL, NULL, hex(s.body)) AS body
FROM segments s
LEFT JOIN imports m ON m.project_id = s.project_id AND m.execution_id = s.execution_id AND m.writer = s.writer AND m.k = s.k
WHERE s.project_id = ?1 AND s.execution_id = ?2 AND (s.writer, s.k) > (?3, ?4)
ORDER BY s.writer, s.k LIMIT ?5
