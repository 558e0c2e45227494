"""What the node remembers: instances and results on disk (`files`), state and history in the database (the rest).

The only SQL and the only disk layout. Called from `steps` and `cli`, never the other way round.
"""
