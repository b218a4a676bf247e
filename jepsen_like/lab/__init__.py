"""A cluster to break by hand: the harness' backend, faults and load, held by commands."""
