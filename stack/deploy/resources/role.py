"""The execution role that the functions share: logs, and the three calls they make on the table.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

import json
from typing import Any

from stack.aws import Aws
from stack.definition import ROLE, TABLE
from stack.deploy.steps import Change, Ensured

VERSION = "2012-10-17"
POLICY = "shortener"
TRUST = {
    "Version": VERSION,
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def ensure(aws: Aws) -> Ensured:
    """Create the role or restore its two policies; the ID is its ARN."""
    iam = aws["iam"]
    policy = _policy(aws)
    try:
        role = iam.get_role(RoleName=ROLE)["Role"]
    except iam.exceptions.NoSuchEntityException:
        try:
            role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
        except iam.exceptions.EntityAlreadyExistsException:  # another build was faster
            return ensure(aws)
        iam.put_role_policy(RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(policy))
        return Ensured(Change.CREATED, role["Arn"])
    change = Change.UNCHANGED
    if role["AssumeRolePolicyDocument"] != TRUST:
        iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(TRUST))
        change = Change.UPDATED
    if _attached_policy(iam) != policy:
        iam.put_role_policy(RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(policy))
        change = Change.UPDATED
    return Ensured(change, role["Arn"])


def _policy(aws: Aws) -> dict[str, Any]:
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
                "Resource": aws.arn("dynamodb", f"table/{TABLE}"),
            },
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": aws.arn("logs", "*"),
            },
        ],
    }


def _attached_policy(iam: Any) -> Any:
    try:
        return iam.get_role_policy(RoleName=ROLE, PolicyName=POLICY)["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None
