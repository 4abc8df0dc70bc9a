-- The versions ?2 (JSON) of a project's prices.
SELECT version, prices FROM price_tables
WHERE project_id = ?1 AND version IN (SELECT value FROM json_each(?2))
