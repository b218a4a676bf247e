"""The process of a `Dummy`; run by its path, needs the standard library only.

    python -I -S dummy_program.py DIRECTORY

Many times a second it appends to DIRECTORY/log and syncs it, and appends to DIRECTORY/notes and
does not. A line on standard input is a question, answered with a line: `pid`, `time` (seconds of
the wall clock), `open` (whether a file can be opened: "ok" or the name of the error), `spin
SECONDS` (CPU time that is burnt before the next turn). It ends with its standard input.
"""

import errno
import os
import select
import sys
import time

TURN_S = 0.005


def answer(question: list[str]) -> str:
    match question:
        case ["pid"]:
            return str(os.getpid())
        case ["time"]:
            return repr(time.time())
        case ["open"]:
            try:
                os.close(os.open("/dev/null", os.O_RDONLY))
            except OSError as exc:
                return errno.errorcode[exc.errno or 0]
            return "ok"
        case ["spin", seconds]:
            until = time.process_time() + float(seconds)
            while time.process_time() < until:
                pass
            return "done"
    return "what?"


def main(directory: str) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    log, notes = (os.open(f"{directory}/{name}", flags, 0o600) for name in ("log", "notes"))
    said = b""
    is_ready = False
    while True:
        try:
            os.write(notes, b"n" * 64)
            os.write(log, b"%d\n" % time.time_ns())
            os.fsync(log)
        except OSError:
            pass  # the disk fails; whether it does is not this program's to judge
        if not is_ready:
            print("ready", flush=True)
            is_ready = True
        if not select.select([0], [], [], TURN_S)[0]:
            continue
        data = os.read(0, 4096)
        if not data:
            return
        *lines, said = (said + data).split(b"\n")
        for line in lines:
            print(answer(line.decode().split()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
