"""Results over HTTP: STOW-RS to a DICOMweb server (the only urllib3). Called from `pacs_node.node`.

References
----------
PS3.18 sections 10.4 (Retrieve), 10.5 (Store) and 8.6 (multipart), annex I (Store Instances Response Module).
"""
