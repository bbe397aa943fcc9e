"""The command line of the local stack."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.local.local_stack import LocalStack
from deploy.local.process import StackError

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".data" / "stack"
_VARIABLES: Final = {
    "kafka": "SEGSTREAM_KAFKA",
    "redis": "SEGSTREAM_REDIS",
    "prometheus": "SEGSTREAM_PROMETHEUS",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        stack = LocalStack(asked.dir, prometheus=getattr(asked, "prometheus", False))
        return int(_COMMANDS[asked.command](stack))
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stack: stopped", file=sys.stderr)
        return 130


def up(stack: LocalStack) -> int:
    """Start what does not run."""
    stack.up()
    status(stack)
    print(f'to use it:   eval "$({_call("env", stack)})"\nto end it:   {_call("down", stack)}')
    return 0


def down(stack: LocalStack) -> int:
    """End everything and remove the data."""
    before = stack.status()
    stack.down()
    print(f"ended and removed: {stack.folder}" if before else f"no stack in {stack.folder}")
    return 0


def status(stack: LocalStack) -> int:
    """Print how each part is; 1 unless all answer."""
    parts = stack.status()
    for part in parts:
        state = "answers" if part.answers else "does not answer" if part.alive else "is down"
        process = f"pid {part.pid}" if part.pid else ""
        print(f"{part.name:<11} {state:<16} {part.address:<28} {process}".rstrip())
    if not parts:
        print(f"no stack in {stack.folder}")
    return 0 if parts and all(part.answers for part in parts) else 1


def env(stack: LocalStack) -> int:
    """Print the addresses as shell exports."""
    parts = stack.status()
    if not parts:
        raise StackError(
            f"expected a stack in {stack.folder}, found none; run: {_call('up', stack)}"
        )
    for part in parts:
        print(f"export {_VARIABLES[part.name]}={part.address}")
    return 0


_COMMANDS: Final = {"up": up, "down": down, "status": status, "env": env}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stack", description="Redis, Kafka and Prometheus on this machine, without Docker."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, act in _COMMANDS.items():
        command = commands.add_parser(name, help=act.__doc__, description=act.__doc__)
        command.add_argument(
            "--dir", type=Path, default=FOLDER, help="its directory (default: .data/stack)"
        )
        if name == "up":
            command.add_argument("--prometheus", action="store_true", help="Prometheus as well")
    return parser


def _call(command: str, stack: LocalStack) -> str:
    """Return what to type for another command on the same stack."""
    where = "" if stack.folder == FOLDER else f" --dir {stack.folder}"
    return f"deploy/local/stack {command}{where}"
