"""The use cases of the node. Each step loads, decides, acts and records, in this order, and may run twice without harm.

No transaction is open while a step acts. A step that finds its row in another state stops quietly.
"""
