"""Whose files a node has: the rule by which its peers listen to it, or do not.

A replica that lost its disk, or was put back from an older copy, has forgotten votes and
acknowledgements; if it went on under its old id, acknowledged entries could be lost (thesis,
3.8: what is promised is on disk before it is said). Its own files cannot tell: an older copy is
whole in itself. So the others remember.

Files have a random `data_id`, made with them, and a list of their starts, each with a random id.
A peer remembers the last start it has met, and every later one has to show that it comes after
it: that these files hold that very start in their list. An older copy does not, however often
it is started, nor does a copy that is started beside the original.

Other files are taken only if cluster.toml names their `data_id` (`[nodes.NAME] data_id`), which
`replica rebuild` writes after every group has taken out its replicas of that node by a committed
change. From then on nobody can lead without somebody who knows of that change, so what those
replicas have forgotten decides nothing any more, also at members that have not heard of it: of
the replicas which have not, together with the one that forgot, there is no majority of the old
members (thesis, 4.1: a majority of the old and one of the new have a member in common). It is
therefore enough to ask the groups' leaders, once, and every node may take the file's word.

A node that has never met another has nothing to compare with, and takes what comes.
"""

from __future__ import annotations

from nodes.protocol import Files

__all__ = ["refusal"]


def refusal(node: str, files: Files, met: Files | None, *, accepted: str) -> str:
    """Why `node` with these `files` is not listened to; empty if it is. `met` is what was met
    last; `accepted` the `data_id` that cluster.toml names for the node, empty if none."""
    if accepted and files.data_id != accepted:
        return _sentence(node, "are not those that were rebuilt last")
    if met is None or (accepted and met.data_id != accepted):
        return ""
    if files.data_id != met.data_id:
        return _sentence(node, "are not those that this node has met: its disk was lost")
    if files.starts < met.starts:
        return _sentence(node, "were put back from an older copy")
    if files.starts == met.starts:
        known, shown = met.start_id, files.start_id
    else:
        known, shown = met.start_id, files.met_start_id
    if known != shown:
        return _sentence(node, "were put back from an older copy, and started since")
    return ""


def _sentence(node: str, what: str) -> str:
    return (
        f"the files of node {node} {what}, so it has forgotten what it promised; start it with an "
        f"empty data directory and run `shardrouter replica rebuild --node {node}`."
    )
