"""What may be said of a model, for a terminal and as a document."""

import json
from dataclasses import asdict

import typer

from daemon.domain.claims import Claims
from daemon.registry.standing import Standing


def headline(standing: Standing, level: str | None) -> str:
    """Return which model it is about, of which level, and whether it serves."""
    if standing.model is None:
        return "no model serves"
    state = ", withdrawn" if standing.withdrawn else ", serves" if standing.serves else ""
    return f"{standing.model}: level {level}{state}"


def print_claims(standing: Standing, made: Claims, as_json: bool) -> None:
    """Print each sentence with its number and its source, and what must not be said."""
    if as_json:
        typer.echo(json.dumps({**asdict(standing), **asdict(made)}))
        return
    typer.echo(headline(standing, made.level))
    typer.echo("\nwhat may be said:")
    for claim in made.may:
        typer.echo(f"  - {claim.sentence}\n      {claim.number:g} ({claim.source})")
    if not made.may:
        typer.echo("  nothing")
    typer.echo("\nwhat must not be said:")
    for sentence in made.must_not:
        typer.echo(f"  - {sentence}")
