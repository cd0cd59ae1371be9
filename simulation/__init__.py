"""The worker with its clock sped up: hours pass in seconds, and the same seed gives the same run. For tests and
benchmarks; never deployed.

virtual_time.py    an event loop whose clock jumps to the next timer
memory_table.py    the table in memory
memory_objects.py  the bucket in memory
"""
