"""Labels of a `jepsen-like pacelc` run by other code: python examples/pacelc_labels.py RUN"""

import json
import sys
from pathlib import Path

run, never = Path(sys.argv[1]), 1 << 62
results = json.loads((run / "results.json").read_text())
head, *lines = map(json.loads, (run / "history.jsonl").read_text().splitlines())
rows = [line for line in lines if isinstance(line, list) and "open" not in line]
asked = [dict(zip(head["columns"], row, strict=True)) for row in rows]
users = asked + [{**o, "outcome": "unserved", "returned_ns": 0} for o in results["unserved"]]
groups, everybody = results["topology"]["groups_of_keys"], {o["node"] for o in asked}
bounds = {one["f"]: one["figures"].get("max_staleness_ns", 0) for one in results.get("labels", ())}
faults = [f for f in results["faults"] if f["verified_start"] and f["verified_end"]]
sides = [[(f, size(f["sides"], key=len)) for f in faults if f["sides"]] for size in (max, min)]
(r0, x0), *_, (r1, x1) = [(f["rtt_ns"], [(f, everybody)]) for f in faults if f["rtt_ns"]]


def served(f, windows, after_failover=False):  # lower bound of the yield, yield, median latency
    every = []
    for x, hosts in windows:
        mine = [o for o in users if o["f"] == f and o["node"] in hosts]
        led = (g for g in groups.values() if after_failover and g in x["role_before"])
        first = dict.fromkeys(led, x["end_ns"])
        for o in (o for o in mine if o["outcome"] == "ok" and o["sent_ns"] >= x["start_ns"]):
            if (g := groups.get(f"{o['workload']}/{o['key']}")) in first:
                first[g] = min(first[g], o["returned_ns"])
        ask, end = max([x["start_ns"], *first.values()]), x["end_ns"]
        every += [o for o in mine if ask <= o["scheduled_ns"] < end >= o["returned_ns"]]
    took = [o["returned_ns"] - o["scheduled_ns"] for o in every if o["outcome"] == "ok"]
    good, n, z = len(took), max(1, len(every)), 2.5  # Wilson, widened: failures come together
    low = (good + z * z / 2 - z * (good * (n - good) / n + z * z / 4) ** 0.5) / (n + z * z)
    return (1 - 3 / n if good == n else low), good / n, sorted(took or [0])[good // 2]


def stale(f, windows, age=0, b=0):  # by more than b? of the reads that could have been
    found, keys = [], {}
    for o in (o for o in asked if o["f"] in (f, "write") and o["outcome"] != "fail"):
        keys.setdefault(o["key"], ([], []))[o["f"] == "write"].append(o)
    for reads, writes in keys.values():
        known = {0: -1} | {o["value"]: o["returned_ns"] for o in writes if o["outcome"] == "ok"}
        for o in reads:
            known[o["output"]] = min(known.get(o["output"], never), o["returned_ns"])
        for at, o in ((o["sent_ns"], o) for o in reads):
            since = [x["start_ns"] for x, h in windows if o["node"] in h and at < x["end_ns"]]
            since = [at - age if age else start for start in since if start <= at]
            new = [w for w in writes if known.get(w["value"], never) < at] if since else []
            if any(known[w["value"]] >= since[0] for w in new):
                new = [w for w in new if known[w["value"]] < at - b]
                found.append(any(w["sent_ns"] > known[o["output"]] for w in new))
    return found


for f, w in sorted((o, "read" if o == "write" else o) for o in {o["f"] for o in asked}):
    b = bounds.get(f, 0)  # what is answered for so long after a cut tells nothing
    late = [[({**x, "start_ns": x["start_ns"] + b}, hosts) for x, hosts in side] for side in sides]
    cut = [(stale(w, side, 0, b), served(w, side)[1]) for side in late]
    p = "PA" if all(served(f, side)[0] >= 0.99 for side in late) else "?"
    calm = all(not any(seen) and (len(seen) >= 1000 or ok <= 0.01) for seen, ok in cut)
    p = "PC" if p == "?" and calm and served(f, sides[0], True)[0] >= 0.99 else p
    bad, slope = sum(seen := stale(w, x1, r1)), (served(f, x1)[2] - served(f, x0)[2]) / (r1 - r0)
    e = "EL" if bad and slope < 0.2 else "EC" if not bad and len(seen) >= 1000 else "?"
    print(f, f"{p}/{e}")
