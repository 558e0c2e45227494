"""DICOM on the network: `scp` receives, `scu` sends, `header` reads identifiers from bytes, `pacs` is a small peer.

The only pynetdicom. Called from `node`, `steps` and the processes; what is received goes into an Inbox of `domain`.
"""
