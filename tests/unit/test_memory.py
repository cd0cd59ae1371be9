"""What a process remembers: until its time is over, and no more than there is room for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from batchyard.core.memory import ExpiringMemory


def memory(**values: float) -> ExpiringMemory[str]:
    """Room for three. `values`: until when each is remembered; it is its own name in capitals."""
    made: ExpiringMemory[str] = ExpiringMemory(at_most=3)
    for name, until in values.items():
        made.put(name, name.upper(), until=until, now=0)
    return made


def test_a_value_is_remembered_until_its_time_is_over() -> None:
    """Up to that moment, and not at it; a name that was never put has no value."""
    made = memory(a=10)
    assert made.get("a", 9.9) == "A"
    assert made.get("a", 10) is None
    assert made.get("b", 0) is None


def test_a_value_put_again_lasts_from_then_on() -> None:
    """The newer value and the newer time count."""
    made = memory(a=10)
    made.put("a", "B", until=20, now=9)
    assert made.get("a", 15) == "B"


def test_a_value_can_be_forgotten() -> None:
    """Also one that is not there."""
    made = memory(a=10)
    made.forget("a")
    made.forget("a")
    assert made.get("a", 0) is None


def test_what_is_over_is_forgotten_first() -> None:
    """Whatever is put drops what nobody can get any more, secrets among it, and keeps the rest."""
    made = memory(a=100, b=5, c=100)
    made.put("d", "D", until=100, now=6)
    assert [made.get(name, 6) for name in "abcd"] == ["A", None, "C", "D"]


def test_a_full_memory_forgets_what_was_put_longest_ago() -> None:
    """Never more than there is room for."""
    made = memory(a=100, b=100, c=100)
    made.put("a", "A", until=100, now=0)
    made.put("d", "D", until=100, now=0)
    assert [made.get(name, 0) for name in "abcd"] == ["A", None, "C", "D"]


def test_a_secret_is_not_kept_beyond_its_time() -> None:
    """With room for one, the next value leaves nothing of the last."""
    made: ExpiringMemory[str] = ExpiringMemory(at_most=1)
    made.put("a", "A", until=100, now=0)
    made.put("b", "B", until=100, now=0)
    assert (made.get("a", 0), made.get("b", 0)) == (None, "B")


def test_threads_may_share_it() -> None:
    """Eight threads put and get at once; what each gets is its own name's value."""
    made: ExpiringMemory[int] = ExpiringMemory(at_most=8)

    def use(number: int) -> bool:
        made.put(str(number), number, until=10, now=0)
        return made.get(str(number), 0) in (number, None)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(2000)))
