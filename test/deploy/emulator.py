"""Runs ministack with one correction: IAM has no actions of their own for the
batch calls of SNS and SQS (sns:Publish allows PublishBatch, and so on)."""

import re
import sys

from ministack.core import iam_actions

named = iam_actions.extract_iam_action


def corrected(service, *args, **kwargs):
    action = named(service, *args, **kwargs)
    return re.sub(r"^((?:sns|sqs):.+)Batch$", r"\1", action) if action else action


iam_actions.extract_iam_action = corrected

from ministack.app import main  # noqa: E402

sys.exit(main())
