"""The functions' execution roles: one a function, with its log and the tables that it uses.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

import json
from functools import partial
from typing import Any

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.resources import Removals, left, removal
from stack.deploy.steps import Change, Ensured
from stack.model import Definition, Function

VERSION = "2012-10-17"
POLICY = "shortener"
TRUST = {
    "Version": VERSION,
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
LOG = ("CreateLogStream", "PutLogEvents")
QUERY = ("Query", "Scan")  # what an index can be asked
READ = ("BatchGetItem", "ConditionCheckItem", "GetItem", "Query", "Scan")
WRITE = ("BatchWriteItem", "DeleteItem", "PutItem", "UpdateItem")


def ensure(aws: Aws, definition: Definition, function: Function) -> Ensured:
    """Create the role of a function, or restore its two policies; the ID is its ARN.

    Raises DeployError if a role of that name is not this stack's.
    """
    iam = aws["iam"]
    name = definition.role_name(function, aws.region)
    policy = _policy(aws, definition, function)
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        role = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=mark.tag_list(aws, definition)
        )["Role"]
        iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(policy))
        return Ensured(Change.CREATED, role["Arn"])
    if not mark.is_on(aws, definition, role.get("Tags")):
        raise mark.stranger("role", name)
    change = Change.UNCHANGED
    if role["AssumeRolePolicyDocument"] != TRUST:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(TRUST))
        change = Change.UPDATED
    if _inline_policy(iam, name) != policy:
        iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(policy))
        change = Change.UPDATED
    return Ensured(change, role["Arn"])


def arn(aws: Aws, definition: Definition, function: Function) -> str:
    """Return the ARN that the role of a function has, or will have."""
    partition = aws.identity.split(":")[1]
    return f"arn:{partition}:iam::{aws.account}:role/{definition.role_name(function, aws.region)}"


def removals(aws: Aws, definition: Definition, everything: bool = False) -> Removals:
    """Yield what removes the roles of functions that are gone, and the one that an earlier version shared."""
    iam = aws["iam"]
    defined = {definition.role_name(function, aws.region) for function in definition.functions}
    listed = {role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]}
    ours = {name for name in listed if name.startswith(f"{definition.stack_name}-") or name == mark.EARLIER_ROLE}
    for name in sorted(defined | ours if everything else ours - defined):
        try:
            found = iam.get_role(RoleName=name)["Role"]
        except iam.exceptions.NoSuchEntityException:
            continue
        earlier = name == mark.EARLIER_ROLE and _is_earlier(aws, definition)
        if earlier or mark.is_on(aws, definition, found.get("Tags")):
            yield name, removal(partial(_delete, iam, name), iam.exceptions.NoSuchEntityException)
        elif name in defined:
            yield name, left


def _policy(aws: Aws, definition: Definition, function: Function) -> dict[str, Any]:
    log = aws.arn("logs", f"log-group:/aws/lambda/{definition.function_name(function)}:*")
    statements = [_allow("logs", LOG, log)]
    indexed = {table.name for table in definition.tables if table.indexes}
    for table in function.tables:
        actions = (*(READ if table in function.reads else ()), *(WRITE if table in function.writes else ()))
        arn = aws.arn("dynamodb", f"table/{definition.table_name(table)}")
        statements.append(_allow("dynamodb", actions, arn))
        if table in function.reads and table in indexed:
            statements.append(_allow("dynamodb", QUERY, f"{arn}/index/*"))
    return {"Version": VERSION, "Statement": statements}


def _allow(service: str, actions: tuple[str, ...], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": sorted(f"{service}:{action}" for action in actions), "Resource": resource}


def _inline_policy(iam: Any, name: str) -> Any:
    try:
        return iam.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None


def _delete(iam: Any, name: str) -> None:
    """Delete a role, and first what AWS asks for: the policies in it, and those that people attached to it."""
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
    iam.delete_role(RoleName=name)


def _is_earlier(aws: Aws, definition: Definition) -> bool:
    """Return True if the shared role is as an earlier version of this project made it, and no function has it."""
    if definition.prefix:
        return False
    iam, name = aws["iam"], mark.EARLIER_ROLE
    policy = {
        "Version": VERSION,
        "Statement": [
            _allow(
                "dynamodb", ("GetItem", "PutItem", "UpdateItem"), aws.arn("dynamodb", f"table/{mark.EARLIER_TABLE}")
            ),
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": aws.arn("logs", "*"),
            },
        ],
    }
    try:
        role = iam.get_role(RoleName=name)["Role"]
        as_made = (
            role["AssumeRolePolicyDocument"] == TRUST
            and iam.list_role_policies(RoleName=name)["PolicyNames"] == [POLICY]
            and not iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
            and _inline_policy(iam, name) == policy
        )
    except iam.exceptions.NoSuchEntityException:  # another build was faster
        return False
    return as_made and not any(
        function["Role"] == role["Arn"]
        for page in aws["lambda"].get_paginator("list_functions").paginate()
        for function in page["Functions"]
    )
