SELECT state FROM chores WHERE name = ?1
