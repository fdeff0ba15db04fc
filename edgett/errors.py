"""What can go wrong, as a user meets it.

EdgettError                     exit code
├── UsageError                  2    an option, or the place it points to, cannot be used
├── InputError                  3    what was given cannot be read or does not fit
│   ├── ModelError                   the model
│   ├── DataError                    the data
│   └── ProfileError                 a target's profile or edgett.toml
├── Infeasible                  4    no solution meets the constraints
├── CheckFailed                 5    an artefact is not what was predicted
├── ToolError                   6    a device, a converter or the file system failed
└── Interrupted               130    Ctrl-C

Only `edgett.cli` catches these, prints them and exits. Everything else lets them pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class EdgettError(Exception):
    """The base of all errors that are told to a user.

    Attributes:
        message: what is wrong: the value, and the limit that it broke.
        cure: what to do about it; may be empty.
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(f"{message} {cure}".rstrip())
        self.message = message
        self.cure = cure


class UsageError(EdgettError):
    exit_code = 2


class InputError(EdgettError):
    exit_code = 3


class ModelError(InputError):
    pass


class DataError(InputError):
    pass


class ProfileError(InputError):
    pass


class Infeasible(EdgettError):
    exit_code = 4


class CheckFailed(EdgettError):
    exit_code = 5


class ToolError(EdgettError):
    exit_code = 6


class Interrupted(EdgettError):
    exit_code = 130


def described(problem: EdgettError) -> dict[str, Any]:
    """What went wrong, as it stands in a document."""
    return {
        "code": problem.exit_code,
        "kind": type(problem).__name__,
        "message": problem.message,
        "cure": problem.cure,
    }


def recorded(problem: Mapping[str, Any]) -> EdgettError:
    """What went wrong in a run, of the document that it left: its outcome is never better when it is told again."""
    kinds = {kind.exit_code: kind for kind in (Infeasible, CheckFailed)}
    return kinds[problem["code"]](problem["message"], problem["cure"])
