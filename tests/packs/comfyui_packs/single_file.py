"""A pack that is one file."""

import nodes


class Bigger:
    FUNCTION = "run"
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"number": ("INT", {"default": 1, "max": nodes.MAX_RESOLUTION})}}

    def run(self, number):
        return (number + 1,)


NODE_CLASS_MAPPINGS = {"Bigger": Bigger, "EmptyImage": Bigger}
