#!/usr/bin/env bash
# Runs the night's totals on a cluster of their own. usage: nightly.sh BUCKET DAY
set -euo pipefail
cd "$(dirname "$0")"
export AWS_PAGER=""
bucket=$1 day=$2

aws s3 sync jobs "s3://$bucket/jobs" --delete --exclude '*.pyc' --only-show-errors

cluster=$(aws emr create-cluster \
    --name "nightly $day" \
    --release-label emr-7.10.0 \
    --applications Name=Spark \
    --use-default-roles \
    --ec2-attributes SubnetId=subnet-0a1b2c3d4e5f60718 \
    --instance-type m5.xlarge --instance-count 3 \
    --log-uri "s3://$bucket/logs/" \
    --tags team=sales "day=$day" \
    --enable-debugging \
    --query ClusterId --output text)
trap 'aws emr terminate-clusters --cluster-ids "$cluster"' EXIT
aws emr wait cluster-running --cluster-id "$cluster"

step=$(aws emr add-steps --cluster-id "$cluster" \
    --steps "Type=Spark,Name=totals,ActionOnFailure=CONTINUE,Args=[--deploy-mode,cluster,s3://$bucket/jobs/totals.py,--source,s3://$bucket/sales/$day.csv,--target,s3://$bucket/totals/$day]" \
    --query 'StepIds[0]' --output text)
if ! aws emr wait step-complete --cluster-id "$cluster" --step-id "$step"; then
    aws emr describe-step --cluster-id "$cluster" --step-id "$step" >&2
    exit 1
fi
echo "$cluster $step"
