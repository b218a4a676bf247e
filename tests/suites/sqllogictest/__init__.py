"""sqllogictest's files through the drivers that people use; `records` knows the format."""
