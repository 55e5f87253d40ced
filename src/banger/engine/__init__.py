"""The engine's whole surface: (principal, request) → result, operation, or stream. Front rooms translate to it."""
