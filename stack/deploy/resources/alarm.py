"""The alarms: one for a function's errors and one for its throttles, if the settings name a topic to tell.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
"""

from functools import partial
from typing import Any

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.resources import Removals, left, removal
from stack.deploy.steps import Change, Ensured, drift
from stack.model import Definition, Function
from stack.settings import Settings

METRICS = ("Errors", "Throttles")
PERIOD = 300  # seconds


def ensure(aws: Aws, definition: Definition, settings: Settings, function: Function, metric: str) -> Ensured:
    """Create or restore the alarm for one metric of a function; the ID is its name.

    Raises DeployError if an alarm of that name is not this stack's.
    """
    name = alarm_name(definition, function, metric)
    desired = {
        "Namespace": "AWS/Lambda",
        "MetricName": metric,
        "Dimensions": [{"Name": "FunctionName", "Value": definition.function_name(function)}],
        "Statistic": "Sum",
        "Period": PERIOD,
        "EvaluationPeriods": 1,
        "Threshold": 0.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [settings.alarm_topic],
    }
    current = _find(aws, AlarmNames=[name]).get(name)
    if current is None:
        aws["cloudwatch"].put_metric_alarm(AlarmName=name, Tags=mark.tag_list(aws, definition), **desired)
        return Ensured(Change.CREATED, name)
    if not _is_marked(aws, definition, current):
        raise mark.stranger("alarm", name)
    if not drift(current, desired):
        return Ensured(Change.UNCHANGED, name)
    aws["cloudwatch"].put_metric_alarm(AlarmName=name, **desired)
    return Ensured(Change.UPDATED, name)


def removals(aws: Aws, definition: Definition, everything: bool = False) -> Removals:
    """Yield what removes the alarms of functions that the definition has no more; DeleteAlarms minds no missing one."""
    defined = {alarm_name(definition, function, metric) for function in definition.functions for metric in METRICS}
    for name, alarm in _find(aws, AlarmNamePrefix=f"{definition.stack_name}-").items():
        if name in defined and not everything:
            continue
        if _is_marked(aws, definition, alarm):
            yield name, removal(partial(aws["cloudwatch"].delete_alarms, AlarmNames=[name]))
        elif name in defined:
            yield name, left


def alarm_name(definition: Definition, function: Function, metric: str) -> str:
    """Return the name of the alarm for one metric of a function."""
    return f"{definition.stack_name}-{function.name}-{metric.lower()}"


def _find(aws: Aws, **which: Any) -> dict[str, dict[str, Any]]:
    pages = aws["cloudwatch"].get_paginator("describe_alarms").paginate(**which)
    return {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}


def _is_marked(aws: Aws, definition: Definition, alarm: dict[str, Any]) -> bool:
    cloudwatch = aws["cloudwatch"]
    try:
        return mark.is_on(aws, definition, cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"])
    except cloudwatch.exceptions.ResourceNotFoundException:  # another build was faster
        return False
