"""The native executor: brings provider jobs from submission to the parts of their shards. Plain synchronous code.

executor.py   takes a job that is due, does what its state asks for, says when to look again
held.py       a job that is ours, and what all of this works with
lines.py      a job's items: as the vendor gets them, and as results
submit.py     hands a job to its vendor, once
poll.py       looks how far it is, and stops one that is late or no longer wanted
collect.py    stores what the vendor has, and begins or ends what follows
move.py       gives what a job leaves to another lane
spool.py      a job's results on disk, by shard
vendors.py    the batch API of each provider
"""
