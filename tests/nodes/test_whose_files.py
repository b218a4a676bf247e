"""A peer listens to files it knows, however often they were started, and to no older copy."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from nodes.acquaintances import Acquaintances
from nodes.log_store import LogStore, StoreError
from nodes.protocol import Files
from nodes.whose_files import refusal

REBUILD = "run `shardrouter replica rebuild --node n1`"


def open_store(directory: Path, node: str = "n1") -> LogStore:
    directory.mkdir(exist_ok=True)
    return LogStore.open(directory / "log.db", cluster_id="c1", node=node)


def started(directory: Path, node: str = "n1", times: int = 1) -> Acquaintances:
    """Start the files so often; what the last start shows and remembers."""
    for _ in range(times):
        store = open_store(directory, node)
        store.close()
    return store.acquaintances


class Node:
    """A node's files, which may be copied and put back, and what a peer thinks of them."""

    def __init__(self, directory: Path) -> None:
        self.files = directory / "n1"
        self.peer = open_store(directory / "n2", "n2").acquaintances
        self.store = open_store(self.files)

    def restart(self, times: int = 1) -> None:
        for _ in range(times):
            self.store.close()
            self.store = open_store(self.files)

    def copy(self, to: str) -> None:
        self.store.close()
        shutil.copytree(self.files, self.files.with_name(to), dirs_exist_ok=True)
        self.store = open_store(self.files)

    def put_back(self, copy: str) -> None:
        self.store.close()
        shutil.rmtree(self.files)
        shutil.copytree(self.files.with_name(copy), self.files)
        self.store = open_store(self.files)

    def lose(self) -> None:
        self.store.close()
        shutil.rmtree(self.files)
        self.store = open_store(self.files)

    def meet(self) -> str:
        shown = self.store.acquaintances.mine(self.peer.met("n1"))
        return self.peer.meet("n1", shown)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_node_that_starts_again_and_dials_often_is_never_refused(node: Node) -> None:
    for _ in range(5):
        for _ in range(3):
            assert node.meet() == ""
        node.restart(times=3)  # a loop of crashes that the peer sees nothing of


def test_an_older_copy_is_refused_with_the_cure(node: Node) -> None:
    node.copy("older")
    assert node.meet() == ""
    node.restart(times=2)
    assert node.meet() == ""
    node.put_back("older")
    why = node.meet()
    assert "the files of node n1 were put back from an older copy" in why
    assert REBUILD in why


def test_an_older_copy_is_refused_however_often_it_is_started(node: Node) -> None:
    """A count alone would be caught up with."""
    node.copy("older")
    node.restart(times=2)
    assert node.meet() == ""
    node.put_back("older")
    for _ in range(8):
        assert "older copy" in node.meet()
        node.restart()


def test_a_copy_that_starts_beside_the_original_is_refused(node: Node) -> None:
    node.copy("twin")  # of the files as they stopped; both begin their next start
    assert node.meet() == ""
    node.put_back("twin")
    assert node.store.acquaintances.starts == node.peer.met("n1")
    assert "put back from an older copy, and started since" in node.meet()


def test_a_copy_that_lost_nothing_is_the_same_files(node: Node) -> None:
    """Moved to another disk while the node was down."""
    assert node.meet() == ""
    node.store.close()
    moved = node.files.with_name("moved")
    shutil.copytree(node.files, moved)
    node.store = open_store(moved)
    assert node.meet() == ""


def test_new_files_are_refused_until_cluster_toml_names_them(node: Node) -> None:
    assert node.meet() == ""
    node.copy("older")
    node.lose()
    assert "its disk was lost" in node.meet()
    data_id = node.store.acquaintances.data_id
    node.peer.accepted = {"n1": data_id}
    assert node.meet() == ""
    node.restart()
    assert node.meet() == ""
    node.put_back("older")  # what it had before is now somebody else's
    assert "not those that were rebuilt last" in node.meet()
    assert node.store.acquaintances.data_id != data_id


def test_who_was_away_while_files_were_accepted_knows_them_by_the_text(node: Node) -> None:
    assert node.meet() == ""
    node.lose()
    node.restart(times=4)  # the others listened to it long since
    node.peer.accepted = {"n1": node.store.acquaintances.data_id}
    assert node.meet() == ""


def test_what_was_met_is_remembered_before_the_answer_and_over_restarts(tmp_path: Path) -> None:
    n1 = open_store(tmp_path / "n1").acquaintances
    peer = open_store(tmp_path / "n2", "n2")
    assert peer.acquaintances.meet("n1", n1.mine(0)) == ""
    shutil.copytree(tmp_path / "n2", tmp_path / "crashed")  # as kill -9 leaves it
    again = open_store(tmp_path / "crashed", "n2").acquaintances
    assert again.met("n1") == n1.starts
    assert "its disk was lost" in again.meet("n1", Files("0" * 32, 9, b"x"))


def test_a_refusal_changes_nothing(node: Node) -> None:
    assert node.meet() == ""
    before = node.peer.met("n1")
    assert node.peer.meet("n1", Files("0" * 32, before + 5, b"x", b"y")) != ""
    assert node.peer.met("n1") == before
    assert node.meet() == ""


def test_a_memory_that_cannot_be_written_listens_to_nobody_and_stops_the_store(
    tmp_path: Path,
) -> None:
    peer = open_store(tmp_path / "n2", "n2")
    peer._connection.execute("PRAGMA query_only = ON")  # as a disk that fails
    n1 = open_store(tmp_path / "n1").acquaintances
    assert "cannot note whose files" in peer.acquaintances.meet("n1", n1.mine(0))
    assert peer.acquaintances.met("n1") == 0
    peer._connection.execute("PRAGMA query_only = OFF")
    with pytest.raises(StoreError, match="restart the node"):
        peer.write([])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE starts SET id = zeroblob(16) WHERE number = 2", "start 2"),
        ("UPDATE starts SET crc = crc + 1 WHERE number = 3", "start 3"),
        ("UPDATE starts SET number = 64 + number WHERE number = 3", "start 67"),
        ("DELETE FROM starts WHERE number = 2", "start 3"),
        ("UPDATE met SET start_id = zeroblob(16)", "node n2"),
        ("UPDATE met SET starts = starts + 64", "node n2"),
        ("UPDATE met SET data_id = 'x' || substr(data_id, 2)", "node n2"),
        ("UPDATE met SET node = 'n3'", "node n3"),
        ("UPDATE met SET crc = crc + 1", "node n2"),
    ],
)
def test_a_record_that_has_changed_is_no_start(tmp_path: Path, change: str, what: str) -> None:
    """Neither refuses it a node that is well, nor does it listen to one that is not."""
    other = open_store(tmp_path / "n2", "n2").acquaintances
    started(tmp_path / "n1", times=2)
    store = open_store(tmp_path / "n1")
    assert store.acquaintances.meet("n2", other.mine(0)) == ""
    store._connection.execute(change)
    store.close()
    for _ in range(2):  # and a try leaves no trace
        with pytest.raises(StoreError, match=f"its record of {what} .* replica rebuild --node n1"):
            open_store(tmp_path / "n1")


def test_the_starts_that_are_listed_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.acquaintances.STARTS_MAX", 5)
    started(tmp_path / "n1", times=20)
    store = open_store(tmp_path / "n1")
    rows = store._connection.execute("SELECT count(*), max(number) FROM starts").fetchone()
    assert rows == (5, 21)
    assert store.acquaintances.mine(17).met_start_id != b""
    assert store.acquaintances.mine(16).met_start_id == b""


class Twin:
    """The rule as one would say it: a peer listens to files whose history begins with all that
    it has met of them. Histories are lists of starts."""

    def __init__(self) -> None:
        self.met: list[int] = []

    def meet(self, history: list[int]) -> bool:
        if history[: len(self.met)] != self.met:
            return False
        self.met = list(history)
        return True


@pytest.mark.parametrize("seed", range(40))
def test_the_rule_is_that_nothing_met_was_forgotten(seed: int) -> None:
    rng = random.Random(seed)
    histories = [[0]]
    twin, met, fresh = Twin(), None, 1
    verdicts = set()
    for _ in range(60):
        which = rng.randrange(len(histories))
        match rng.randrange(4):
            case 0 if len(histories) < 6:
                histories.append(list(histories[which]))  # a copy
            case 0 | 1:
                histories[which].append(fresh)  # a start
                fresh += 1
            case _:
                history = histories[which]
                known = met.starts if met is not None else 0
                shown = str(history[known - 1]).encode() if 0 < known <= len(history) else b""
                files = Files("d", len(history), str(history[-1]).encode(), shown)
                why = refusal("n1", files, met, accepted="")
                assert (why == "") == twin.meet(history), (history, twin.met)
                verdicts.add(why == "")
                if not why:
                    met = files
    assert verdicts == {True, False}
