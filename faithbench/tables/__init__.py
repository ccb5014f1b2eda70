"""Tables as data, and their writers; pictures as files."""
