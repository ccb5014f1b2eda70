"""Documents of the Sequence Pointing Game: judged, drawn, kept."""
