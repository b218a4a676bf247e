"""The client of the wire protocol."""
