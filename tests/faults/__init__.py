"""The promises of reliability, by real processes that are killed, starved and cut off. `make faults` runs them."""
