"""Runs one published client as a program of its own: ``drive.py DRIVER BEHAVIOUR URL FOLDER``.

The argument of the behaviour is FOLDER/argument.json; what it returns goes to FOLDER/result.json, pictures to files.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    driver, behaviour, url, place = sys.argv[1:]
    folder = Path(place)
    argument = json.loads((folder / "argument.json").read_text())
    result = getattr(importlib.import_module(f"drivers.{driver}"), behaviour)(url, argument, folder)
    if behaviour == "run":
        for number, picture in enumerate(result):
            (folder / f"picture{number}").write_bytes(picture)
        result = len(result)
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
