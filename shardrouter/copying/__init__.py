"""COPY without I/O: its statement, and the three formats in both directions."""
