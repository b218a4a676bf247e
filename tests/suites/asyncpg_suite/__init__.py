"""asyncpg's own tests, as its authors publish them, against this database."""
