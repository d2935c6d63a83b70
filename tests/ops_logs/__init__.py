"""What stands in the log: the fields of its lines, traces, and no secret."""
