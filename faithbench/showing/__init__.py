"""Explained texts for people: one description of a coloured line, shown in a terminal, a notebook or a file."""
