"""Type names that compare themselves, and inputs of any name."""


class Any(str):
    def __ne__(self, other):
        return False


class Either(str):
    """Equal to images and masks only."""

    def __ne__(self, other):
        return other not in ("IMAGE", "MASK")


class AnyInputs(dict):
    """Claims to have every key, and is written as an empty object."""

    def __init__(self, kind):
        self.kind = kind

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        return (self.kind,)


class AtAnyIndex(tuple):
    """Has a type at every index, more than it lists."""

    __slots__ = ()

    def __getitem__(self, index):
        return tuple.__getitem__(self, min(index, len(self) - 1))


ANY = Any("*")
EITHER = Either("PICTURE")
