"""Metrics, readiness, status and logs for the admin."""
