"""What the node decides, as pure functions and values. Standard library only."""
