"""What a benchmark writes: its sections of the page, and a file of figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from bench import report
from bench.findings import Findings
from bench.kills import KillRun
from bench.lanes import LimitRun, SharesRun, SmallRun
from bench.outages import OutageRun

KILLED = KillRun(1_000, 24, 48, 1_000, 1_000, 1_250, 250, 80.0, 110.0)


def trouble() -> Findings:
    outages = [
        OutageRun("503", 60, begins, 20_000, 0, extra, 8, 12.4, speed)
        for begins, extra, speed in (("start", 100, 9.6), ("middle", 220, 14.0), ("end", 150, None))
    ]
    limits = [LimitRun(20, workers, 1.0, 6_000, 0, 0.969, 0.0326, 310.0 * workers, 0.83) for workers in (1, 5)]
    return {
        "outages": [asdict(run) for run in outages],
        "limits": [asdict(run) for run in limits],
        "small": [asdict(SmallRun("another account", 5, 3.0, 6.4, 1.0))],
        "shares": [asdict(SharesRun(10, 20, 1.08, 0.91, 1.08))],
        "kills": asdict(KILLED) | {"killed_share": KILLED.killed_share, "slowdown": KILLED.slowdown},
    }


def findings(**parts: Findings) -> Findings:
    machine = {"architecture": "x86_64", "cores": 2, "python": "3.11", "load": 0.2}
    return {"at": "2026-11-21T12:00:00+00:00", "machine": machine, "items": 20_000, **parts}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page, and a folder for figures beside it."""
    copy = tmp_path / "benchmarks.md"
    copy.write_text(report.DOCUMENT.read_text())
    monkeypatch.setattr(report, "DOCUMENT", copy)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    return copy


def test_the_page_has_a_place_for_every_section() -> None:
    """Each pair of markers stands once, in order."""
    text = report.DOCUMENT.read_text()
    for section in report.SECTIONS:
        assert text.count(section.begin) == text.count(section.end) == 1
        assert text.index(section.begin) < text.index(section.end)


def test_a_part_with_a_section_of_its_own_leaves_the_others_alone(page: Path) -> None:
    """Trouble alone is written into its section; what people wrote and what was measured before stay."""
    before = page.read_text()
    stored = report.store(findings(trouble=trouble()), complete=True)
    after = page.read_text()
    section = report.SECTIONS[1]
    assert stored.name == "2026-11-21-trouble.json"
    assert after.partition(section.begin)[0] == before.partition(section.begin)[0]
    assert after.partition(section.end)[2] == before.partition(section.end)[2]
    assert "| 503 | 60 | 0 | 0.50 / 1.10 / 0.75 | 10 / 14 / never | 12 / 12 / 12 |" in after


def test_a_small_run_does_not_touch_the_page(page: Path) -> None:
    """Its figures are kept in a file only."""
    before = page.read_text()
    assert report.store(findings(trouble=trouble()), complete=False).exists()
    assert page.read_text() == before


def test_the_figures_of_limits_and_kills_are_worked_out() -> None:
    """GB-seconds against one worker; the killed share of the calls, and the part of the time that was lost."""
    text = report.tables(findings(trouble=trouble()))
    assert "| 20 | 5 | 1 s | 6,000 | 96.9 | 3.3 | 1,550 | 5.00 | 0.83 |" in text
    assert "| 1,000 | 24 (48) | 1,000 of 1,000 | 250 | 20.0 | 80 | 110 | 27.3 |" in text
    assert "other work shared" not in text
