"""What was measured: the run's folder, records as arrays, trainings put together."""
