"""Tools that people use with PostgreSQL, run here unchanged."""
