"""Benchmarks: the whole product beside the limit of what one machine can do, and what a million items cost on AWS.

items.py    the input: deterministic, small chat requests
limit.py    the bare loop that nothing can beat: read, post, write
product.py  the same items through the local cloud, as a customer sends them
steps.py    Validate and Finalize alone, in MB/s
imports.py  how long each handler takes to import
cost.py     AWS's list prices x what the cost meter counted
outages.py  outages of a provider, simulated
lanes.py    lanes with a limit and their neighbours, simulated
kills.py    workers of the local cloud that are killed all the time
trouble.py  these three
report.py   bench/results/<date>.json and docs/benchmarks.md
"""
