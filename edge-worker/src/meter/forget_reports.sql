DELETE FROM reports WHERE at < ?1
