"""Taking tokens away, and what a model says of the rest: what the deletion metrics share."""
