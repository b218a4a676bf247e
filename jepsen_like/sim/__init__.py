"""The whole stack in one process, on virtual time: see docs/simulation.md."""
