"""Components by name: finding them among installed packages, their specs, listing them, what a text names."""
