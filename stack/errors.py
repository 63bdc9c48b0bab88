"""The exceptions of the package, and the exit code of what was interrupted.

DeployError       anything that stops a command; the message is one line: what is wrong, and what to do
├── SettingError  a setting has an invalid value
└── PackageError  a function's source cannot be packaged, or its code cannot be loaded
"""

INTERRUPTED = 130  # the exit code of a command that Ctrl-C has ended


class DeployError(Exception):
    """Raised when a build, or a command, cannot go on. The message is one line for a person."""


class SettingError(DeployError):
    """Raised when a setting has an invalid value."""


class PackageError(DeployError):
    """Raised when a function's source cannot be packaged, or its code cannot be loaded."""
