"""What the gateway tells the admin: metrics, readiness, status."""
