"""The checklist for production, for a terminal and as a document."""

import json
from dataclasses import asdict

import typer

from daemon.cli.claims_text import headline
from daemon.domain.readiness import Readiness
from daemon.registry.standing import Standing


def print_readiness(standing: Standing, made: Readiness, as_json: bool) -> None:
    """Print a line for each check with its evidence, and what to do where it fails."""
    if as_json:
        typer.echo(json.dumps({**asdict(standing), "ready": made.ready, **asdict(made)}))
        return
    typer.echo(headline(standing, made.level))
    for check in made.checks:
        typer.echo(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.evidence} ({check.source})")
        if check.fix:
            typer.echo(f"      {check.fix}")
