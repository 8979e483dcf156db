"""The socket, a connection at work on it, and how connections are opened."""
