"""`shardrouter node`: a name of a node, or a verb about nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nodes.config import NODE_VERBS
from shardrouter.cli import main
from shardrouter.cli.node import node
from tests.shardrouter.cluster import one_node


@pytest.mark.parametrize("words", [["n9", "--cluster", "{}"], ["--cluster", "{}", "n9"]])
async def test_what_is_no_verb_is_the_name_of_a_node(tmp_path: Path, words: list[str]) -> None:
    async with one_node(tmp_path) as path:
        done = CliRunner().invoke(main, ["node", *(word.format(path) for word in words)])
    assert done.exit_code == 1
    assert "has no node 'n9'; it has n1" in done.output


def test_no_node_can_be_called_as_a_verb_is() -> None:
    assert set(node.commands) <= set(NODE_VERBS)


@pytest.mark.parametrize("verbs", [[], ["node"], ["replica"], ["leader"]])
def test_the_list_of_verbs_cuts_no_sentence_short(verbs: list[str]) -> None:
    done = CliRunner().invoke(main, [*verbs, "--help"], terminal_width=80)
    listed = done.output.partition("Commands:")[2]
    assert listed
    assert "..." not in listed
