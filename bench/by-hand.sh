#!/usr/bin/env bash
# The stack as a tutorial builds it, one awslocal call after another: by-hand.sh ENGINE_URL PROJECT FOLDER
set -euo pipefail
export AWS_ENDPOINT_URL=$1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
project=$2 folder=$3
lambda=arn:aws:lambda:us-east-1:000000000000:function
gateway=arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions
source=arn:aws:execute-api:us-east-1:000000000000
aws() { awslocal --output text "$@"; }

aws dynamodb create-table --table-name shortlinks --billing-mode PAY_PER_REQUEST \
  --attribute-definitions AttributeName=code,AttributeType=S --key-schema AttributeName=code,KeyType=HASH

role=$(aws iam create-role --role-name by-hand --query Role.Arn \
  --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}')
aws iam put-role-policy --role-name by-hand --policy-name by-hand \
  --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"}]}'

for name in shorten redirect authorizer; do
  (cd "$project/lambdas/$name" && python3 -m zipfile -c "$folder/$name.zip" ./*.py ../common)
  aws lambda create-function --function-name "$name" --runtime python3.12 --handler handler.handler --timeout 10 \
    --role "$role" --zip-file "fileb://$folder/$name.zip" \
    --environment 'Variables={TABLE=shortlinks,JWT_SECRET=dev-secret-change-me}'
done

api=$(aws apigatewayv2 create-api --name shortener --protocol-type HTTP --query ApiId \
  --cors-configuration 'AllowOrigins=*,AllowMethods=GET,HEAD,POST')
authorizer=$(aws apigatewayv2 create-authorizer --api-id "$api" --name jwt-auth --authorizer-type REQUEST \
  --identity-source "\$request.header.Authorization" --authorizer-uri "$gateway/$lambda:authorizer/invocations" \
  --authorizer-payload-format-version 2.0 --enable-simple-responses --authorizer-result-ttl-in-seconds 0 --query AuthorizerId)
integrate() {
  aws apigatewayv2 create-integration --api-id "$api" --integration-type AWS_PROXY \
    --integration-uri "$lambda:$1" --payload-format-version 2.0 --query IntegrationId
}
shorten=$(integrate shorten)
redirect=$(integrate redirect)
aws apigatewayv2 create-route --api-id "$api" --route-key 'POST /shorten' --target "integrations/$shorten" \
  --authorization-type CUSTOM --authorizer-id "$authorizer"
aws apigatewayv2 create-route --api-id "$api" --route-key 'GET /r/{code}' --target "integrations/$redirect"
aws apigatewayv2 create-route --api-id "$api" --route-key 'HEAD /r/{code}' --target "integrations/$redirect"
aws apigatewayv2 create-stage --api-id "$api" --stage-name dev --auto-deploy
for name in shorten redirect; do
  aws lambda add-permission --function-name "$name" --statement-id api --action lambda:InvokeFunction \
    --principal apigateway.amazonaws.com --source-arn "$source:$api/*"
done
aws lambda add-permission --function-name authorizer --statement-id api --action lambda:InvokeFunction \
  --principal apigateway.amazonaws.com --source-arn "$source:$api/authorizers/$authorizer"

# The first request, which is when a tutorial's reader learns whether it works.
token=$("$project/scripts/sign-token.py")
curl --fail --silent --show-error "$AWS_ENDPOINT_URL/_aws/execute-api/$api/dev/shorten" \
  -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
  --data '{"long_url": "https://example.com/", "code": "by-hand"}'
curl --fail --silent --show-error --output /dev/null "$AWS_ENDPOINT_URL/_aws/execute-api/$api/dev/r/by-hand"
