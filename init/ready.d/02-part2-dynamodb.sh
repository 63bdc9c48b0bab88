#!/bin/sh
# Part 2 of the tutorial: the DynamoDB table.
set -eu
cd "$(dirname "$0")/../.."
exec python3 -m stack.deploy --local table
