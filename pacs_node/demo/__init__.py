"""`pulmonode demo`: the whole way of a study on one machine, from a sender to a PACS that holds the answer.

`pacs` starts the PACS, `truth` compares with what is known, `show` runs it all.
"""
