UPDATE segments SET attempt = ?6, sealed_under = ?7, body = unhex(?8)
WHERE project_id = ?1 AND execution_id = ?2 AND writer = ?3 AND k = ?4 AND attempt = ?5
RETURNING k
