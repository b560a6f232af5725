import os


def started():
    return os.environ["HYPHEN_PACK"]
