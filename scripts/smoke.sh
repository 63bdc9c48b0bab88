#!/usr/bin/env bash
# Walk every answer of the API against the running stack, a line each: scripts/smoke.sh
#
# It stops with exit code 1 at the first answer that is wrong. Run twice, it passes twice.
# The stack is the one that OUTPUTS_DIR names; its links are made up anew each time. Where tokens come
# from an identity provider, TOKEN is to be one of its tokens, and OTHER_TOKEN may be one of another user.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
no_arguments "$@"
find_python
load_settings
[ -s "$OUTPUTS_DIR/api_url" ] || die "no stack is up, or its last build failed ($OUTPUTS_DIR/api_url is missing): run scripts/up.sh first"
need client

url=$(cat "$OUTPUTS_DIR/api_url")
case $IDENTITY_PROVIDER in
  '' | cognito) token=$("$python" scripts/sign-token.py smoke); other_token=$("$python" scripts/sign-token.py smoke-other) ;;
  *) token=${TOKEN:-} other_token=${OTHER_TOKEN:-}; [ -n "$token" ] || die "tokens come from $IDENTITY_PROVIDER: put one of its tokens into TOKEN (docs/tokens.md says how to get it)" ;;
esac
forged=${token%.*}.$("$python" -c 'import secrets; print(secrets.token_urlsafe(32))')
owner=$("$python" -c 'import base64, json, sys; print(json.dumps(json.loads(base64.urlsafe_b64decode(sys.argv[1].split(".")[1] + "=="))["sub"]))' "$token") ||
  die "TOKEN is no JWT: put a token of $IDENTITY_PROVIDER into it"
code=smoke-$("$python" -c 'import secrets; print(secrets.token_hex(6))')
long_url="https://example.com/?smoke=$code"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# request METHOD PATH [CURL ARGUMENT...]: fills $status, $headers and $body.
request() {
  local method=$1 path=$2
  shift 2
  [ "$method" = HEAD ] && set -- --head "$@"
  status=$(curl -q --noproxy '*' --silent --show-error --max-time 30 --request "$method" --output "$folder/body" \
    --dump-header "$folder/headers" --write-out '%{http_code}' "$@" "$url$path") ||
    die "$method $path has no answer from $url: start the stack with scripts/up.sh"
  headers=$(tr -d '\r' <"$folder/headers")
  body=$(cat "$folder/body")
}

# shorten BODY [CURL ARGUMENT...]: POST /shorten with the token.
shorten() {
  local data=$1
  shift
  request POST /shorten -H "Authorization: Bearer $token" -H 'Content-Type: application/json' --data "$data" "$@"
}

# expect WHAT STATUS [TEXT...]: the last answer has this status, and each text in its headers or body.
expect() {
  local what=$1 wanted=$2 text
  shift 2
  [ "$status" = "$wanted" ] || wrong "$what" "status $wanted"
  for text in "$@"; do
    grep -qiF -- "$text" <<<"$headers"$'\n'"$body" || wrong "$what" "$text"
  done
  printf 'ok    %s  %s\n' "$wanted" "$what"
}

wrong() {
  printf 'WRONG %s  %s: expected %s\n%s\n%s\n' "$status" "$1" "$2" "$headers" "$body" >&2
  [ "$status" != 403 ] || say "does the token suit the JWT_... settings that the stack was built with? scripts/logs.sh authorizer says why it was refused" >&2
  exit 1
}

# Print the click_count of $code. The AWS CLI sees nothing of the caller's: no profile, no endpoint, no proxy.
clicks() {
  env -i PATH="$PATH" PYTHONUTF8=1 AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
    AWS_ENDPOINT_URL="${url%%/_aws/*}" AWS_DEFAULT_REGION="$AWS_DEFAULT_REGION" \
    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
    .venv/bin/python .venv/bin/awslocal dynamodb get-item --table-name "${NAME_PREFIX}shortlinks" \
    --key "{\"code\": {\"S\": \"$code\"}}" --query 'Item.click_count.N' --output text 2>"$folder/awslocal" ||
    { cat "$folder/awslocal" >&2; die "awslocal failed (see above): run scripts/up.sh"; }
}

expect_clicks() {
  local found
  found=$(clicks)
  if [ "$found" != "$1" ]; then
    printf 'WRONG click_count of %s: expected %s, found %s\n' "$code" "$1" "$found" >&2
    exit 1
  fi
  printf 'ok         click_count is %s\n' "$1"
}

# until_expired: GET the brief link until it no longer leads anywhere, for 10 seconds at most.
until_expired() {
  local tries=0
  until request GET "/r/$code-brief" && [ "$status" != 302 ] || [ $((tries += 1)) -gt 50 ]; do sleep 0.2; done
}

say "$url"
request POST /shorten --data '{}'
expect 'POST /shorten without Authorization' 401 '{"message":"Unauthorized"}'
request POST /shorten -H "Authorization: Bearer $forged" --data "{\"long_url\": \"$long_url\", \"code\": \"$code\"}"
expect 'POST /shorten with a token that does not verify' 403 '"message"'
request GET "/r/$code"
expect '… and nothing was written' 404 '{"error": "not found"}'

shorten "{\"long_url\": \"$long_url\"}"
expect 'POST /shorten' 201 'location: r/' "\"long_url\": \"$long_url\"" "\"owner_id\": $owner"
shorten "{\"long_url\": \"$long_url\", \"code\": \"$code\"}"
expect 'POST /shorten with a code' 201 "location: r/$code" "\"code\": \"$code\""
shorten "{\"long_url\": \"https://example.com/other\", \"code\": \"$code\"}"
expect 'POST /shorten with a code that is taken' 409 '"error"'
request POST /shorten -H "Authorization: Bearer $token" --data "{\"long_url\": \"$long_url\"}"
expect 'POST /shorten with a body in base64 (no JSON content type)' 201 "\"long_url\": \"$long_url\""

request POST /shorten -H "Authorization: Bearer $token"
expect 'POST /shorten without a body' 400 '{"error": "body'
shorten 'not JSON'
expect 'POST /shorten with a body that is not JSON' 400 '{"error": "body'
shorten '["https://example.com/"]'
expect 'POST /shorten with a body that is not an object' 400 '{"error": "body'
shorten '{"long_url": 1}'
expect 'POST /shorten with a long_url of the wrong type' 400 '{"error": "long_url'
shorten '{"long_url": "ftp://example.com/"}'
expect 'POST /shorten with a long_url that is not http or https' 400 '{"error": "long_url'
shorten '{"long_url": "https:///path"}'
expect 'POST /shorten with a long_url without a host' 400 '{"error": "long_url'
shorten "{\"long_url\": \"https://example.com/$(printf '%02048d' 0)\"}"
expect 'POST /shorten with a long_url of over 2,048 characters' 400 '{"error": "long_url'
shorten '{"long_url": "https://example.com/a b"}'
expect 'POST /shorten with a space in the long_url' 400 '{"error": "long_url'
shorten '{"long_url": "https://example.com/\r\nSet-Cookie: a=b"}'
expect 'POST /shorten with control characters in the long_url' 400 '{"error": "long_url'
shorten "{\"long_url\": \"$url/r/$code\"}"
expect 'POST /shorten with a link of this API' 400 '{"error": "long_url'
shorten "{\"long_url\": \"$long_url\", \"code\": \"no/slash\"}"
expect 'POST /shorten with a code of other characters' 400 '{"error": "code'

shorten "{\"long_url\": \"$long_url\", \"expires_at\": 1}"
expect 'POST /shorten with an expiry that has passed' 400 '{"error": "expires_at'

request HEAD "/r/$code"
expect 'HEAD /r/{code}' 302 "location: $long_url" 'cache-control: no-store'
expect_clicks 0
request GET "/r/$code"
expect 'GET /r/{code}' 302 "location: $long_url" 'cache-control: no-store'
[ -z "$body" ] || wrong 'GET /r/{code}' 'an empty body'
expect_clicks 1
request GET "/r/$code-unknown"
expect 'GET /r/unknown' 404 'content-type: application/json' '{"error": "not found"}'

own=(-H "Authorization: Bearer $token")
other=(-H "Authorization: Bearer $other_token")
request GET /links
expect 'GET /links without Authorization' 401 '{"message":"Unauthorized"}'
request GET "/links?limit=1" "${own[@]}"
expect 'GET /links' 200 'content-type: application/json' '{"links": [{"code": ' '"click_count": ' '"next": "'
next=${body##*'"next": "'} next=${next%%\"*}
request GET "/links?limit=1&next=$next" "${own[@]}"
expect 'GET /links from where the page before ended' 200 '{"links": [{"code": '
[ -n "$other_token" ] || say "what another user sees is left out: put a token of one into OTHER_TOKEN"
if [ -n "$other_token" ]; then
  request GET "/links?next=$next" "${other[@]}"
  expect 'GET /links with the next of another owner' 400 '{"error": "next'
fi
request GET "/links?limit=101" "${own[@]}"
expect 'GET /links with a limit of over 100' 400 '{"error": "limit'
request GET "/links/$code" "${own[@]}"
expect 'GET /links/{code}' 200 "{\"code\": \"$code\", \"long_url\": \"$long_url\", \"click_count\": 1}"
if [ -n "$other_token" ]; then
  request GET "/links/$code" "${other[@]}"
  expect "GET /links/{code} of another's link" 404 '{"error": "not found"}'
  request DELETE "/links/$code" "${other[@]}"
  expect "DELETE /links/{code} of another's link" 404 '{"error": "not found"}'
fi
request DELETE "/links/$code" "${own[@]}"
expect 'DELETE /links/{code}' 204
[ -z "$body" ] || wrong 'DELETE /links/{code}' 'an empty body'
request DELETE "/links/$code" "${own[@]}"
expect 'DELETE /links/{code} of a link that is not there' 404 '{"error": "not found"}'
request GET "/r/$code"
expect 'GET /r/{code} of a link that was deleted' 404 '{"error": "not found"}'

expires_at=$(($(date +%s) + 3))
shorten "{\"long_url\": \"$long_url\", \"code\": \"$code-brief\", \"expires_at\": $expires_at}"
expect 'POST /shorten with an expiry' 201 "\"expires_at\": $expires_at"
request GET "/r/$code-brief"
expect 'GET /r/{code} before it expires' 302 "location: $long_url"
until_expired
expect 'GET /r/{code} once it has expired' 410 'content-type: application/json' '{"error": "expired"}'
request HEAD "/r/$code-brief"
expect 'HEAD /r/{code} once it has expired' 410
shorten "{\"long_url\": \"$long_url\", \"code\": \"$code-brief\"}"
expect 'POST /shorten with a code that has expired' 201 "\"code\": \"$code-brief\""
request GET /
expect 'GET /' 200 'content-type: text/html' "content-security-policy: default-src 'none'; script-src 'sha256-" '<!doctype html>'
request GET /elsewhere
expect 'GET of any other path' 404 '"message"'
say "all as it should be"
