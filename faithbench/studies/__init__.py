"""Studies with people, as in Figure 3 of the B-cos LM paper (arXiv 2502.12992): questionnaires and their answers."""
