"""The worker with its clock sped up: hours pass in seconds, and the same seed gives the same run. For tests and
benchmarks; never deployed.

yard.py              one lane: its queue, its workers, its provider, and the batches that want it
limited_provider.py  takes so many calls a second
outages.py           what calls come to while the provider is down
fair_queue.py        SQS
memory_table.py      DynamoDB's table
memory_objects.py    S3's bucket
counted.py           counts their calls
virtual_time.py      an event loop whose clock jumps to the next timer
"""
