"""The software bill of materials, and that nothing is installed but what it names."""

import functools
import json
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


@functools.cache
def made() -> bytes:
    """Without any network: the namespace has none."""
    return subprocess.run(["unshare", "--net", ROOT / "docs/sbom"], check=True, capture_output=True).stdout


def components() -> dict[str, dict]:
    return {one["name"]: one for one in json.loads(made())["components"]}


def test_it_is_cyclonedx_and_the_same_each_time():
    document = json.loads(made())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"])
    references = {"paas", *(one["bom-ref"] for one in document["components"])}
    assert len(references) == len(document["components"]) + 1
    for one in document["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= references
    assert subprocess.run([ROOT / "docs/sbom"], check=True, capture_output=True).stdout == made()


def test_it_has_what_an_installation_has_and_no_tool_of_development():
    locked = {one["name"]: one["version"] for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for line in project["project"]["optional-dependencies"]["server"]:
        name = re.match(r"[\w-]+", line)[0]
        assert components()[name]["version"] == locked[name]
    assert {"cffi", "urllib3", "botocore"} <= set(components())          # of the second row
    dev = {re.match(r"[\w-]+", line)[0] for line in project["dependency-groups"]["dev"]}
    assert not dev & set(components())


def test_every_file_has_its_hash():
    for one in components().values():
        assert one["externalReferences"], one["name"]
        for file in one["externalReferences"]:
            assert [hash["alg"] for hash in file["hashes"]] == ["SHA-256"]
            assert re.fullmatch(r"[0-9a-f]{64}", file["hashes"][0]["content"])


def test_the_installer_takes_nothing_without_a_hash():
    """uv checks each file against uv.lock when it is not allowed to change that; pip gets --require-hashes."""
    text = (ROOT / "installer/program.sh").read_text()
    installs = re.findall(r"(?:bin/pip\"? install|bin/uv\"? (?:sync|pip|add|run))[^\n]*", text)
    assert len(installs) == 2
    for line in installs:
        assert "--require-hashes" in line or "--frozen" in line, line
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        if package["name"] != "paas":
            files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
            assert files, package["name"]
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one["hash"]) for one in files), package["name"]
