"""Runs in the shapes that other tools read."""
