"""The scores of neurons' descriptions that come with faithbench, one file each. They see only faithbench's types."""
