INSERT INTO session_buckets (session, buckets, full_at) VALUES (?1, ?2, ?3)
ON CONFLICT DO UPDATE SET buckets = excluded.buckets, full_at = excluded.full_at
