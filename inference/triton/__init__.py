"""NVIDIA Triton: the gRPC client (`TritonPredictor`) and a server for one machine (`launch`); the only tritonclient."""

from inference.triton.client import Retries, Tls, TritonPredictor
from inference.triton.launcher import TritonServer, control_of, launch, start

__all__ = ["Retries", "Tls", "TritonPredictor", "TritonServer", "control_of", "launch", "start"]
