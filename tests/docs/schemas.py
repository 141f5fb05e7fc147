"""The schemas of docs/schemas, for tests that write what they describe."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def check(name, content):
    """Fails with every place where the content is not as the schema of that name says."""
    schema = json.loads((DOCS / "schemas" / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    faults = [
        f"{'/'.join(map(str, fault.absolute_path))}: {fault.message[:300]}"
        for fault in Draft202012Validator(schema).iter_errors(content)
    ]
    assert not faults, f"{name}: " + "; ".join(faults)


def check_run(folder, kinds=("videos", "film")):
    """Checks the files of a run's folder that have a schema; each kind must be there."""
    check("result", json.loads((folder / "result.json").read_text()))
    for line in (folder / "losses.jsonl").read_text().splitlines():
        check("losses", json.loads(line))
    for name in kinds:
        files = list((folder / name).glob("*.json"))
        assert files, name
        for file in files:
            check(name.removesuffix("s"), json.loads(file.read_text()))


def check_cache(folder):
    """Checks the entries of a teacher's cache."""
    requests = list(folder.glob("*/request.json"))
    assert requests
    for file in requests:
        check("request", json.loads(file.read_text()))
    for file in folder.glob("*/masklets-*.json"):
        check("masklets", json.loads(file.read_text()))
