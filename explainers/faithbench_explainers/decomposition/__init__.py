"""Hidden states as sums of vectors, one for each input token: what DecompX needs."""
