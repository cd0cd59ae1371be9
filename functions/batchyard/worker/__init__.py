"""The realtime executor: claims shards, calls providers item by item on one event loop, and hands back what is left.

The only room with asyncio in it. It knows adapters and core; what happens to a settled shard is a step, which its
handler passes in.
"""
