"""
Whether a target has the rows of the source: found by ranges of keys, and looked at again before anything is said.

    comparison.py   every row of the source, then every key of the target: what does not fit is a suspect
    settling.py     suspects are looked at again until they fit, or what is on its way to the target has arrived
    pipeline.py     how one knows that it has
    repair.py       what differs is applied once more

Reads by short queries without locks, and holds no table in memory, so the size of a table and how much of it differs
cost time only.
"""
