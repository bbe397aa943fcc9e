"""What tests need and a machine may lack: skipped there, visibly; in CI a failure, never a skip."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import pytest
from deploy.local.local_stack import LocalStack
from deploy.local.process import MissingError


def lacking(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running(stack: LocalStack) -> Iterator[LocalStack]:
    """Start a stack where its parts are installed, and end it, also when the test is killed."""
    with ExitStack() as until_then:
        try:
            until_then.enter_context(stack)
        except MissingError as error:
            lacking(str(error))
        yield stack
