"""The pure pipeline: a DICOM series or a volume in, findings out.

No DICOM network, no database, no torch. Three callers: the node (`pacs_node.steps.analyse`), `pulmonode series
analyse`, and `training.evaluation`, so that what is evaluated is what is served.
"""
