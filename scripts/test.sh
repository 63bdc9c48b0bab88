#!/usr/bin/env bash
# Run the whole test suite, on a machine with nothing but Python: scripts/test.sh [PYTEST ARGUMENT...]
#
# It installs what it needs into .venv and starts engines of its own, on free ports and in
# temporary folders. --stack-url URL asks a stack that is already up instead (the HTTP part).

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
find_python
need embedded client test
exec .venv/bin/python -m pytest "$@"
