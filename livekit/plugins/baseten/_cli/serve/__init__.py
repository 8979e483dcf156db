"""`serve`: a Baseten on this machine, in a terminal."""
