"""The errors that end a command in one line.

DeployError              a build, or another command, cannot go on
├── SettingError         a setting has an invalid value
├── DefinitionError      stack/definition.py contradicts itself
├── PackageError         a function's source cannot be packaged
├── ResourceError        a resource is in the way, missing, or does not start
└── EngineError          the local engine cannot be started or stopped
"""


class DeployError(Exception):
    """Say in one line what is wrong, and what to do."""


class SettingError(DeployError):
    """Name a setting that has an invalid value, or a line of .env that is invalid."""


class DefinitionError(DeployError):
    """Name what in stack/definition.py is invalid, missing or a duplicate."""


class PackageError(DeployError):
    """Name a function's source that is missing or is not Python."""


class ResourceError(DeployError):
    """Name a resource that is in the way, missing, or does not start."""


class EngineError(DeployError):
    """Say why the local engine cannot be started or stopped, or its folder cannot be used."""
