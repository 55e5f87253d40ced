"""The HTTP API. Routes translate; they decide nothing."""
