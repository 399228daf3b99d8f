"""The audit package: a zip with a company's history that anybody can verify alone, years later.

`write` makes one, `verify` checks one. `verify.py` also stands in every package, so it imports nothing of
this project and nothing that does not come with Python.
"""
