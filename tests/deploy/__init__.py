"""Deployment by shell script: in staged trees, with a fake systemd that runs the units."""
