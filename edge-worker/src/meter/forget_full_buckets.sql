DELETE FROM session_buckets WHERE full_at <= ?1
