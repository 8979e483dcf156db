"""What becomes of every word, without I/O, clock or event loop (docs/design.md)."""
