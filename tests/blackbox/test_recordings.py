"""The recordings in tests/data are what their README says, each with a licence beside it."""

from harness import recordings


def test_every_file_is_listed_with_its_sum():
    rows = list(recordings.listed())
    for path, size, sum_ in rows:
        assert (path.stat().st_size, recordings.digest(path)) == (size, sum_), path
    files = {p for p in recordings.DATA.rglob("*") if p.is_file() and not p.name.startswith(("LICENSE", "README"))}
    assert files == {path for path, _, _ in rows}


def test_every_folder_has_its_licences():
    for path, _, _ in recordings.listed():
        assert list(path.parent.glob("LICENSE.*.txt")), path


def test_they_stay_small():
    assert sum(path.stat().st_size for path in recordings.DATA.rglob("*") if path.is_file()) < 6_000_000
