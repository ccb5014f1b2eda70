"""Figures of any run: what is drawn as data, chosen and computed here; drawings of it."""
