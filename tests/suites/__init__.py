"""Other people's programs and test suites against this database: each is a verb of the Makefile.

They install what they need beside the project's own environment, print one closing line of
figures and exit by it.
"""
