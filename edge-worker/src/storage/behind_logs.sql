-- A page of projects whose log grew since its last checkpoint.
SELECT id, leaves, size FROM (
  SELECT p.id,
    1 + ifnull((SELECT seq FROM leaves WHERE project_id = p.id ORDER BY seq DESC LIMIT 1), -1) AS leaves,
    ifnull((SELECT size FROM checkpoints WHERE project_id = p.id ORDER BY size DESC LIMIT 1), 0) AS size
  FROM projects p WHERE p.id > ?1
)
WHERE leaves > size ORDER BY id LIMIT ?2
