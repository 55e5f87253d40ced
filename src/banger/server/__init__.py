"""The HTTP API. Routes translate; they make no decisions."""
