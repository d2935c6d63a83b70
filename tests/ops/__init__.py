"""Metrics, readiness, status, logs and findings for the admin."""
