"""openapi.yaml describes the API that is there, and schemathesis finds no request that it answers otherwise."""

from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from project import CHECKOUT, Stack

DOCUMENT: dict[str, Any] = yaml.safe_load((CHECKOUT / "openapi.yaml").read_text())
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]

schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.mark.http
@schema.parametrize()
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_stack_answers_as_it_says(case: schemathesis.Case[Any], stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.token()}"}
    case.call_and_validate(base_url=stack.url, headers=headers, checks=CHECKS)


@pytest.mark.http
@pytest.mark.search
@schema.parametrize()
@settings(max_examples=2000, deadline=None)
def test_the_stack_answers_as_it_says_however_long_one_asks(case: schemathesis.Case[Any], stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.token()}"}
    case.call_and_validate(base_url=stack.url, headers=headers, checks=CHECKS)
