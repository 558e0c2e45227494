"""An hour of mixed traffic with random faults, and a judgement of what became of it: `python -m tests.soak --help`."""
