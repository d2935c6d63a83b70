"""The optional extension in C: its build, and the choice between it and Python."""
