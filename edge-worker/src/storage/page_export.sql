-- A page of the log with what is still there of each batch, bodies as hex.
SELECT l.seq, l.kind, l.execution_id, l.writer, l.k, l.content, e.subject AS owner,
  s.n, s.count, s.sha256, s.batch_id, s.provenance, s.received_at, s.envelope, s.attempt, s.bytes, s.price_version,
  m.imported_at, m.actor AS import_actor, m.key AS import_key, m.attestation AS import_attestation, m.tag AS import_tag,
  iif(s.body IS NULL, NULL, hex(s.body)) AS body
FROM leaves l
LEFT JOIN segments s ON l.kind = 'batch' AND s.project_id = l.project_id AND s.execution_id = l.execution_id
  AND s.writer = l.writer AND s.k = l.k
LEFT JOIN executions e ON l.kind = 'batch' AND e.project_id = l.project_id AND e.id = l.execution_id
LEFT JOIN imports m ON l.kind = 'batch' AND m.project_id = l.project_id AND m.execution_id = l.execution_id
  AND m.writer = l.writer AND m.k = l.k
WHERE l.project_id = ?1 AND l.seq >= ?2 AND l.seq < ?3 ORDER BY l.seq LIMIT ?4
