"""Scalar functions as data, a module for each family: every row is one of pg_proc."""
