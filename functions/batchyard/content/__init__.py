"""Reading and writing what batches consist of: input lines, work files, parts, merged results, exports, deliveries.

The memory it needs does not grow with the size of a batch. It decides nothing about batches: steps do, and call this
room.
"""
