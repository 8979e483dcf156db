"""`transcribe`: recordings and the microphone, to text, JSON or captions."""
