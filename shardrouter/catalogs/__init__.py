"""PostgreSQL's system catalogs and information_schema, computed from the catalog of the cluster.

A query that names one of their relations is understood as any other (docs/catalogs.md), and runs
on the router: in a SQLite database in memory that holds the relations it names.
"""
