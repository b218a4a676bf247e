"""The store of runs: reading it, comparing two of its runs, and showing it in a browser."""
