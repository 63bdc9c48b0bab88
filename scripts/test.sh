#!/usr/bin/env bash
# Run the whole test suite, on a machine with nothing but Python: scripts/test.sh [PYTEST ARGUMENT...]
#
# It installs what it needs into .venv and starts engines of its own, on free ports and in
# temporary folders. --compose adds the tests of Docker Compose, for which a Docker engine must
# be running; --browser those that need Chromium or Chrome. --stack-url URL asks a stack that is
# already up instead (the HTTP part alone). --localstack runs that part, and what is LocalStack's own, on
# LocalStack in Docker; without its image it builds a stand-in. --long adds whole sessions of scripts: dev.sh, its
# debugger, pip and other people's shells. --search, which has those too, looks longer: more faults, more requests.
# --browser --screenshot writes docs/page.png too.
# HYPOTHESIS_PROFILE=search: more examples.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
find_python
compose=
browser=
case " $* " in *" --compose "*) compose=compose ;; esac
case " $* " in *" --browser "*) browser=browser ;; esac
case " $* " in *" --localstack "*) tests/localstack/stand-in-image.sh && set -- --numprocesses=1 "$@" ;; esac
need embedded dev debug cognito client test ${compose:+"$compose"} ${browser:+"$browser"}
.venv/bin/python -m stack.commands.packages
case " $* " in *".py "*) set -- --numprocesses=0 "$@" ;; esac # one file is done before several processes have started
unset PYTHONDONTWRITEBYTECODE # each worker, and each engine, would compile everything anew
exec .venv/bin/python -m pytest "$@"
