"""A plan resolved and run: what is to be done, doing it, and explaining texts in a notebook."""
