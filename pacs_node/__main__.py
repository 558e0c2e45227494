"""`python -m pacs_node` is `pulmonode`."""

from pacs_node.cli import main

main()
