"""Judges of a history. Standard library only: a verdict can be recomputed anywhere."""
