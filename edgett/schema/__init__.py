"""The documents of a run directory as types: which keys are relied on, and what each may be.

They are made in `report.document`, `session`, `timing` and `benching`, and checked by `record` before anybody reads on.
A key that is not listed is let through, since later versions add some; one that a renderer relies on gets a line here.
"""
