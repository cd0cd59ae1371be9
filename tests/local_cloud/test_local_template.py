"""The cache of synthesized templates knows everything that a template depends on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local.deployment import templates as template
from local.deployment.templates import ROOT, SynthFailed


@pytest.fixture(autouse=True)
def aws() -> None:
    """These tests need no AWS in the process."""


_IMPORTED = """
import json, os, sys
os.environ["JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION"] = "1"
sys.path[:0] = ["functions", "."]
import infra.app
print(json.dumps([m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)]))
"""


def test_every_module_of_ours_that_the_app_imports_is_an_input() -> None:
    """A change in any of them makes a new template instead of an old one from the cache."""
    done = subprocess.run([sys.executable, "-c", _IMPORTED], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    files = (Path(name).resolve() for name in json.loads(done.stdout.splitlines()[-1]))
    ours = {path for path in files if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / ".venv")}
    assert len(ours) > 10
    assert ours <= set(template.inputs())


def test_an_app_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's own words, and nothing is left in the cache."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "app.py").write_text("raise SystemExit('no such construct')")
    monkeypatch.setattr(template, "ROOT", tmp_path)
    monkeypatch.setattr(template, "CACHE", tmp_path / "cache")
    with pytest.raises(SynthFailed, match="no such construct"):
        template.stacks()
    assert list((tmp_path / "cache").iterdir()) == []


def test_stacks_come_in_the_order_of_their_dependencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in the manifest; and the second time no app is run."""
    app = tmp_path / "infra" / "app.py"
    app.parent.mkdir()
    app.write_text(
        "import json, os, pathlib\n"
        "out = pathlib.Path(os.environ['CDK_OUTDIR'])\n"
        "kind = 'aws:cloudformation:stack'\n"
        "def stack(name, needs): return {'type': kind, 'dependencies': needs, 'properties': {'templateFile': name}}\n"
        "artifacts = {'upper': stack('upper', ['o', 'lower']), 'lower': stack('lower', []), 'o': {'type': 'x'}}\n"
        "(out / 'manifest.json').write_text(json.dumps({'artifacts': artifacts}))\n"
        "for name in ('upper', 'lower'): (out / name).write_text(json.dumps({'Resources': {name: {}}}))\n"
        "pathlib.Path('runs').open('a').write('x')\n"
    )
    monkeypatch.setattr(template, "ROOT", tmp_path)
    monkeypatch.setattr(template, "CACHE", tmp_path / "cache")
    assert [stack.name for stack in template.stacks()] == ["lower", "upper"]
    assert [stack.template for stack in template.stacks()] == [
        {"Resources": {"lower": {}}},
        {"Resources": {"upper": {}}},
    ]
    assert (tmp_path / "runs").read_text() == "x"
    app.write_text(app.read_text() + "# changed\n")
    template.stacks()
    assert (tmp_path / "runs").read_text() == "xx"
