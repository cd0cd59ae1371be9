"""Plays IAM: who calls, with which credentials, and whether the policies of the template allow the call."""
