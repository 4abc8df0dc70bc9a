DELETE FROM tombstones WHERE deleted_at < ?1
