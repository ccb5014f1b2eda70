"""Tables of records: as frames, as parts for people, and the writers of these; figures as files."""
