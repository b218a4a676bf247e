"""The shell without a terminal: what is typed, what is printed."""
