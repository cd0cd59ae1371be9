"""Reading and writing what batches consist of: input lines, work files, parts, merged results, exports, deliveries.

All of it in flat memory, whatever the size. It decides nothing about a batch: the steps do, and call this room.
"""
