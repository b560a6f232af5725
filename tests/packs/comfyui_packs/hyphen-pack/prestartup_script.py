import os

os.environ["HYPHEN_PACK"] = "started"
