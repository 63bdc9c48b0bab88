"""What can stop a deployment, as a person should read it."""


class DeployError(Exception):
    """The build cannot go on. The message is one line: what is wrong, and what to do.

    DeployError
    ├── DefinitionError  stack/definition.py contradicts itself
    ├── SettingError     a setting has a value that cannot be used
    ├── PackageError     a function's source cannot be packaged
    ├── ResourceError    a resource is in the way, or is missing
    ├── ProbeError       the API is built but does not answer as it should
    ├── OutputError      the outputs folder cannot be used
    └── EngineError      the engine cannot be started or stopped
    """


class DefinitionError(DeployError):
    """stack/definition.py contradicts itself, or names what is not there."""


class SettingError(DeployError):
    """A setting has a value that cannot be used."""


class PackageError(DeployError):
    """A function's source is missing or is not Python."""


class ResourceError(DeployError):
    """A resource is in the way, or one that should be there is not."""


class ProbeError(DeployError):
    """The API is built but does not answer as it should."""


class OutputError(DeployError):
    """The outputs folder cannot be read or written."""


class EngineError(DeployError):
    """The local engine cannot be started or stopped, or its folder cannot be used."""
