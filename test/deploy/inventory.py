"""Prints what exists at the endpoint, as JSON from a kind to names and what is
compared of them. With `secret NAME VALUE` it makes a secret and prints its ARN; with `logs` it
prints the last lines of all logs."""

import json
import sys

import boto3


def pages(service, operation, key, **arguments):
    client = boto3.client(service)
    if client.can_paginate(operation):
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key, [])
    else:
        yield from getattr(client, operation)(**arguments).get(key, [])


if sys.argv[1:2] == ["secret"]:
    made = boto3.client("secretsmanager").create_secret(Name=sys.argv[2], SecretString=sys.argv[3])
    print(made["ARN"])
    sys.exit()

if sys.argv[1:2] == ["logs"]:
    client = boto3.client("logs")
    for group in pages("logs", "describe_log_groups", "logGroups"):
        for stream in pages("logs", "describe_log_streams", "logStreams", logGroupName=group["logGroupName"]):
            events = client.get_log_events(logGroupName=group["logGroupName"], logStreamName=stream["logStreamName"])["events"]
            for event in events[-20:]:
                print(group["logGroupName"], event["message"][:1000].rstrip())
    sys.exit()

print(json.dumps({
    "functions": {f["FunctionName"]: f"{f['MemorySize']} MB, {f['Timeout']} s, {f['Architectures'][0]}"
                  for f in pages("lambda", "list_functions", "Functions")},
    "roles": {r["RoleName"]: "" for r in pages("iam", "list_roles", "Roles")},
    "schedules": {s["Name"]: s["State"] for s in pages("scheduler", "list_schedules", "Schedules")},
    "log groups": {g["logGroupName"]: f"{g.get('retentionInDays', 'for ever')} days"
                   for g in pages("logs", "describe_log_groups", "logGroups")},
    "topics": {t["TopicArn"]: "" for t in pages("sns", "list_topics", "Topics")},
    "subscriptions": {s["Endpoint"]: s["TopicArn"] for s in pages("sns", "list_subscriptions", "Subscriptions")},
    "queues": {u: "" for u in pages("sqs", "list_queues", "QueueUrls")},
    "alarms": {a["AlarmName"]: a["MetricName"] for a in pages("cloudwatch", "describe_alarms", "MetricAlarms")},
    "dashboards": {d["DashboardName"]: "" for d in pages("cloudwatch", "list_dashboards", "DashboardEntries")},
    "buckets": {b["Name"]: f"{sum(1 for _ in pages('s3', 'list_objects_v2', 'Contents', Bucket=b['Name']))} objects"
                if not b["Name"].startswith("aws-sam-cli-managed-") else ""
                for b in boto3.client("s3").list_buckets()["Buckets"]},
}))
