#!/bin/sh
# LocalStack runs this when it stops: the API that the outputs folder names goes with it.
set -eu
cd "$(dirname "$0")/../.."
folder=${OUTPUTS_DIR:-outputs}
url=$(cat "$folder/api_url" 2>/dev/null || true)
case $url in
  "" | "http://127.0.0.1:${HOST_PORT:-4566}/"*) ;;
  *) exit 0 ;; # of a stack on another port that shares the folder, and may be up
esac
rm -f "$folder/api_id" "$folder/api_url" "$folder"/.api_id.[0-9]* "$folder"/.api_url.[0-9]*
