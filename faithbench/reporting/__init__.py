"""Reports: what runs have found as one page for people, which opens without a network and reads without a script."""
