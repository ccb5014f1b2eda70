"""faithbench"""
