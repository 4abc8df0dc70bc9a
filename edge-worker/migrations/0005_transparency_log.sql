-- Every stored batch and every deletion, numbered without gaps by project: the leaves of its Merkle tree. They
-- stay when the batch is deleted. Batches stored before this migration are not among them.
CREATE TABLE leaves (
  project_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  -- `batch` or `deletion`.
  kind TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  writer TEXT NOT NULL,
  k INTEGER NOT NULL,
  -- Digest over the body's and the envelope's digests (protocol, `transparency::content`).
  content TEXT NOT NULL,
  PRIMARY KEY (project_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
  project_id TEXT NOT NULL,
  size INTEGER NOT NULL,
  made_at INTEGER NOT NULL,
  note TEXT NOT NULL,
  -- Hex of the tree's right edge, from which the next checkpoint goes on.
  frontier TEXT NOT NULL,
  PRIMARY KEY (project_id, size)
) STRICT, WITHOUT ROWID;
