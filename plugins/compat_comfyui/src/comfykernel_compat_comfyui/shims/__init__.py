"""The Python names that node packs import, each module at the path of its name."""
