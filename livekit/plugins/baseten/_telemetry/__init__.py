"""What calls do, told to OpenTelemetry: metrics of all of them, spans within LiveKit's traces."""
