"""The audit trail (PS3.15 annex A): who sent what to whom, who was refused, and what was changed.

`message` builds, `spool` keeps, `syslog` sends; `trail` is what the rest of the node sees.
"""
