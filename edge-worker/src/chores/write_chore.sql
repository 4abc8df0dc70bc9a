INSERT INTO chores (name, state) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET state = excluded.state
