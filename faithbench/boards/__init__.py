"""Leaderboards: a folder with plans, records and tables; published, built, checked."""
