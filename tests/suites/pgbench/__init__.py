"""Debian's pgbench, unmodified, against this database."""
