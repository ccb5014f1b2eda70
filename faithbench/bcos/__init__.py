"""B-cos language models: conversion, training, checkpoints."""

from faithbench.bcos.convert import convert

__all__ = ["convert"]
