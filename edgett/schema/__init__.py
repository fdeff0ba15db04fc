"""The JSON documents that edgett prints and writes as types: which keys there are, and what each may be.

They are made in `workflow` and `report`; what is read of a run again is checked by `run.record` before
anybody reads on. `documents` lists them all, and makes their JSON Schema.
"""

SCHEMA = 2
"""The version of all of them."""
