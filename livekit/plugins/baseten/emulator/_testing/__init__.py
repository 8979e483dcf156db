"""For tests: a server with a script, in a thread or in memory."""
