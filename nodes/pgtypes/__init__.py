"""PostgreSQL's types, one module each: formats, comparison and functions of their stored forms.

Pure. A *stored form* is what SQLite keeps of a value, what parameters are bound as, and what
crosses the wire between router and node (docs/language.md). Each module knows one family of
types and has, as data, what others collect: `CODECS` (PostgreSQL's text and binary formats,
for `nodes.values`), `FUNCTIONS` and `AGGREGATES` (operators and casts, by the names under which
translated SQL calls them, for `nodes.functions`), `COLLATIONS` (how SQLite compares the stored
form where its own comparison is not PostgreSQL's).
"""
