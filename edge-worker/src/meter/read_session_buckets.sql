SELECT buckets FROM session_buckets WHERE session = ?1
