"""The model repository on disk: which systems, models and versions there are, which are served, and which is active.

    <system>.system.json                 the versions of a system and which one is active: one file, replaced whole
    <model>/config.pbtxt                 which versions Triton serves
    <model>/<version>/model.onnx, contract.json, golden.npz        immutable once they are there

A version is staged beside the others (Triton ignores folders that are not numbers), renamed into place, written into
the record of its system, served beside the active one, and made active when it has proven itself. Each of these is one
rename, so a reader, a server that starts, or a power cut meets the state before it or after it.

Called from the predictors, `inference.release`, `pacs_node` and `training.export`.
"""

from inference.registry.configuration import SHA256_KEY
from inference.registry.record import System
from inference.registry.repository import Member, ModelRepository

__all__ = ["SHA256_KEY", "Member", "ModelRepository", "System"]
