"""LiveKit's side: its stream, its events, its errors."""
