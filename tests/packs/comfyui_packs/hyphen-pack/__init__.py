"""A folder whose name is no Python name, with a prestartup script and a project file."""

from .inner import started

NODE_CLASS_MAPPINGS = {}
STARTED = started()
