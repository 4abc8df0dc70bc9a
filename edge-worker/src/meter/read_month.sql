SELECT steps, bytes, cost_nano_usd, told FROM months WHERE month = ?1
