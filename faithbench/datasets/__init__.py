"""The data sets that come with faithbench, one file each."""
