"""``wsgw doctor``: each fault that it finds, and no other."""
