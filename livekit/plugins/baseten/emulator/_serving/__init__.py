"""The server around a model: handshakes, connections, faults."""
