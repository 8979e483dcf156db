"""From a recording to its transcript, and from that to text, JSON or captions."""
