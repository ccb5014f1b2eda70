"""The describers of neurons that come with faithbench, one file each. They see only faithbench's types."""
