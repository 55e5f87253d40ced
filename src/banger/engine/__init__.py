"""The engine's whole surface: (principal, request) → result, operation, stream or attachment. Rooms above translate
requests to it."""
