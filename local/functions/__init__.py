"""Plays Lambda (sandboxes, limits) and what invokes it: SQS event sources, EventBridge rules and schedules."""
