"""The engine that answers components' questions in bulk."""
