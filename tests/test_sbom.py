"""The bill of materials is that of the lock file: whoever changes `requirements.lock` runs `make sbom`, too."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_sbom_has_the_packages_and_versions_of_the_lock_file_and_no_others() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    sbom = json.loads((ROOT / "deploy/sbom.cdx.json").read_text(encoding="utf-8"))
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    locked = sorted(line.split("==") for line in lines)
    assert sorted([item["name"], item["version"]] for item in sbom["components"]) == locked
    assert sorted(item["purl"] for item in sbom["components"]) == sorted(
        f"pkg:pypi/{re.sub('[-_.]+', '-', name).lower()}@{version}" for name, version in locked
    )
