"""``comfykernel check PACK``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import LoadSettings

    from .findings import Finding, Report, Severity

COLOURS: Final[dict[Severity, str]] = {"error": "red", "warning": "yellow", "note": "cyan"}
EXIT_FOUND: Final = 1


def make_command(load_settings: LoadSettings) -> click.Command:
    """The command; ``load_settings`` gives the settings of a server, which decide what other packs there are."""

    @click.command("check")
    @click.argument("pack")
    @click.option("--json", "as_json", is_flag=True, help="As JSON.")
    @click.option("--strict", is_flag=True, help="Warnings fail, too.")
    @click.option("--ignore", multiple=True, metavar="RULE", help="Leave a rule out; repeatable.")
    @click.option("--alone", is_flag=True, help="Load no other packs: no collisions, no unknown types.")
    @click.option("--base-directory", metavar="DIR", help="Folder of a server whose other packs count.")
    @click.pass_context
    def check(
        context: click.Context,
        pack: str,
        *,
        as_json: bool,
        strict: bool,
        ignore: tuple[str, ...],
        alone: bool,
        base_directory: str | None,
    ) -> None:
        """Look for what is wrong with a node PACK: an installed distribution, or the folder of a project.

        Exits with 1 when there are errors, with 2 when there is no such pack.
        """
        import msgspec

        from .checking import check, counted
        from .pack_source import find_pack

        settings = load_settings({} if base_directory is None else {"paths.base": base_directory})
        report = check(find_pack(pack), settings, with_others=not alone)
        report.findings = [finding for finding in report.findings if finding.rule not in ignore]
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(report)))
        else:
            _show(report)
        context.exit(EXIT_FOUND if counted(report.findings, strict=strict) else 0)

    return check


def _show(report: Report) -> None:
    title = f"{report.distribution} {report.version}".strip()
    times = f"found in {_duration(report.import_s)}, registered in {_duration(report.register_s)}"
    click.echo(f"{click.style(title, bold=True)}: {_number(len(report.nodes), 'node')}, {times}")
    told: set[str] = set()
    for finding in report.findings:
        click.echo()
        _show_finding(finding)
        if finding.hint not in told:
            told.add(finding.hint)
            for line in finding.hint.splitlines():
                click.echo(f"    {line}")
    counts = [_number(report.count(severity), severity) for severity in COLOURS if report.count(severity)]
    click.echo()
    click.secho(f"{', '.join(counts)}." if counts else "All is well.", bold=True)


def _show_finding(finding: Finding) -> None:
    place = _shown_path(finding.file) + (f":{finding.line}" if finding.line else "") + ": " if finding.file else ""
    subject = ".".join(part for part in (finding.node, finding.input) if part)
    click.echo(
        click.style(place, bold=True)
        + click.style(f"{finding.severity}: ", fg=COLOURS[finding.severity], bold=True)
        + (f"{subject}: " if subject else "")
        + finding.message
        + click.style(f" [{finding.rule}]", dim=True)
    )


def _shown_path(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
