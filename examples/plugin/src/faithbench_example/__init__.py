"""A package of one's own: an explainer and a metric, which faithbench finds by their entry points."""
