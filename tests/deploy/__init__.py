"""Deployment by shell script: in staged trees, with a stand-in for systemd that runs what the units say."""
