#!/bin/sh
# An engine that boots serves no API yet: what the last one left in the outputs folder goes.
set -eu
cd "$(dirname "$0")/../.."
folder=${OUTPUTS_DIR:-outputs}
rm -f "$folder/api_id" "$folder/api_url" "$folder"/.api_id.[0-9]* "$folder"/.api_url.[0-9]*
