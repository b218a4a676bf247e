"""From the parser's tree to the values of `shardrouter.syntax`, by an allow-list.

Each module reads the nodes of one kind: expressions, queries, changes. An argument of a node
that nobody has read raises NotSupported, so that no clause is dropped silently.
"""
