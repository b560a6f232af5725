"""The command: runs every case of a folder of records and tells what passed, failed and is absent."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from comfykernel_core_nodes.golden.records import Case, Records

    Check = Callable[[Case], list[str]]

PROBLEM_WIDTH: Final = 240


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m comfykernel_core_nodes.golden", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of records")
    parser.add_argument("--group", action="append", help="only this group; may be repeated")
    parser.add_argument("--case", default="", help="only cases whose name holds this text")
    parser.add_argument("--show", type=int, default=20, help="failed cases shown for each group")
    parser.add_argument("--traceback", action="store_true", help="show where a case raised")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"there is no folder {options.folder}")
    return run(options)


def run(options: argparse.Namespace) -> int:
    """Run the chosen cases and print a line for each group."""
    import torch

    from comfykernel_core_nodes.diffusion.memory import DevicePolicy, configure_memory
    from comfykernel_core_nodes.golden.records import Records

    torch.set_grad_enabled(False)
    # The records are float32 on the CPU, layer by layer as torch has them: some cases grow a rounding to a change that
    # can be seen.
    configure_memory(DevicePolicy(device="cpu", force="fp32", codec="fp32", packed=False))
    records = Records(options.folder)
    groups = [group for group in records.groups() if not options.group or group in options.group]
    checks = make_checks(records)
    total: Counter[str] = Counter()
    for group in groups:
        total += run_group(group, records, checks.get(group), options)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['absent']} absent")
    return int(total["failed"] > 0)


def make_checks(records: Records) -> dict[str, Check]:
    """The check of each group that is known."""
    from comfykernel_core_nodes.golden import graph_checks as graphs
    from comfykernel_core_nodes.golden.carried_state import recorded_in_a_row
    from comfykernel_core_nodes.golden.network_checks import CodecChecks, TransformerChecks, UNetChecks
    from comfykernel_core_nodes.golden.noise_checks import NoiseChecks
    from comfykernel_core_nodes.golden.patch_checks import PatchChecks
    from comfykernel_core_nodes.golden.sampler_checks import SamplerChecks
    from comfykernel_core_nodes.golden.sigma_checks import SigmaChecks
    from comfykernel_core_nodes.golden.text_checks import TextChecks
    from comfykernel_core_nodes.golden.tiny_models import TinyModels
    from comfykernel_core_nodes.golden.token_checks import TokenChecks

    models = TinyModels(records)

    def in_a_row(group: str) -> frozenset[str]:
        return recorded_in_a_row(case.name for case in records.cases(group))

    makers: dict[str, Callable[[], Check]] = {
        "noise": lambda: NoiseChecks().check,
        "sigmas": lambda: SigmaChecks(records).check,
        "samplers": lambda: SamplerChecks(records).check,
        "tokenizer": lambda: TokenChecks(records).check,
        "text_encoders": lambda: TextChecks(records, models).check,
        "unet": lambda: UNetChecks(models).check,
        "vae": lambda: CodecChecks(models).check,
        "dit": lambda: TransformerChecks(models).check,
        "lora": lambda: PatchChecks(records, models).check,
        "ksampler": lambda: graphs.GraphChecks(models, graphs.RUN_TOLERANCE, in_a_row("ksampler")).check,
        "image_ops": lambda: graphs.GraphChecks(models, graphs.IMAGE_TOLERANCE).check,
    }
    present = set(records.groups())
    return {group: make() for group, make in makers.items() if group in present}


def run_group(group: str, records: Records, check: Check | None, options: argparse.Namespace) -> Counter[str]:
    """Run the cases of a group; print those that failed, what is absent, and the figures."""
    begun, figures = time.perf_counter(), Counter[str]()
    reasons: Counter[str] = Counter()
    for case in records.cases(group):
        if options.case not in case.name:
            continue
        result, problem = outcome(case, check, traceback_shown=options.traceback)
        figures[result] += 1
        if result == "absent":
            reasons[problem] += 1
        elif result == "failed" and figures["failed"] <= options.show:
            print(f"  failed {group} {case.name}: {problem[:PROBLEM_WIDTH]}", flush=True)
    for reason, count in reasons.most_common():
        print(f"  absent {group} ({count}): {reason}")
    counts = ", ".join(f"{figures[name]} {name}" for name in ("passed", "failed", "absent"))
    print(f"{group}: {counts} ({time.perf_counter() - begun:.1f} s)", flush=True)
    return figures


def outcome(case: Case, check: Check | None, *, traceback_shown: bool = False) -> tuple[str, str]:
    """`passed`, `failed` or `absent`, and why. A case that the recorded program could not do may raise here, too."""
    from comfykernel_core_nodes.golden.records import Absent

    if check is None:
        return "absent", "no check of this group"
    try:
        problems = check(case)
    except Absent as reason:
        return "absent", str(reason)
    except Exception as error:  # noqa: BLE001 - whatever a case raises is its result
        if case.raises:
            return "passed", ""
        if traceback_shown:
            traceback.print_exc()
        problems = [f"{type(error).__name__}: {error}"]
    return ("failed", "; ".join(problems)) if problems else ("passed", "")


if __name__ == "__main__":
    sys.exit(main())
