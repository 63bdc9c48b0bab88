#!/bin/sh
# Part 4 of the tutorial: the functions and the API; at the end, the API answers and the outputs say where.
set -eu
cd "$(dirname "$0")/../.."
exec python3 -m stack.deploy --local api
