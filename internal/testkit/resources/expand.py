"""Prints a SAM template as the CloudFormation template that SAM makes of it.

usage: python expand.py template.yaml > testdata/expanded.json
"""

import hashlib
import json
import os
import sys

os.environ["AWS_DEFAULT_REGION"] = "us-east-1"  # the transform looks up the partition

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402


class NoManagedPolicies:
    """The template names no managed policy, so none is looked up."""

    def load(self):
        return {}


with open(sys.argv[1], "rb") as file:
    source = file.read()
template = yaml_parse(source)
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        # What `sam build` and `sam deploy` put there; the transform wants it.
        resource["Properties"]["CodeUri"] = "s3://bucket/key"
template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
# Before the transform, which changes it.
digest = hashlib.sha256(source).hexdigest()
expanded = transform(template, {}, NoManagedPolicies())
json.dump({"Metadata": {"TemplateSHA256": digest}, **{k: v for k, v in expanded.items() if k != "Metadata"}},
          sys.stdout, indent=1, sort_keys=True)
print()
