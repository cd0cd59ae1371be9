"""Vendors' batch APIs.

job.py      a job and its life, whoever's it is
runs.py     all jobs: made, run as their clock goes, cancelled
files.py    all files
calls.py    one call of a batch API: what goes wrong with it, which vendor answers
openai.py   files and batches as OpenAI, Azure and Groq have them; the other vendors have modules of their own
"""
