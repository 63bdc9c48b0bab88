#!/usr/bin/env bash
# Build the stack on any endpoint that speaks AWS: scripts/deploy.sh --endpoint-url URL
# On AWS itself: scripts/deploy.sh --aws --account ID --region REGION
# Take it away again: scripts/deploy.sh remove, with the same flags
#
# It prints a plan, asks, and does it. --plan only prints, --yes does not ask. remove leaves the tables
# and what is in them, unless --with-table. The settings are those of .env; the credentials, and with
# --aws the endpoint, are those that the AWS SDK finds. docs/aws.md has more.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
run_module stack.commands.deploy "$@"
