-- Guarded by what was read, so that of two changes at once neither is lost.
UPDATE projects SET config = ?2 WHERE id = ?1 AND config = ?3 RETURNING id
