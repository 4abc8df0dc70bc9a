DELETE FROM counts WHERE day > '' AND day < ?1
