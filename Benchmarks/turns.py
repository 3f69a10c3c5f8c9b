"""What Benchmarks/ttrpc, Benchmarks/grpc and Benchmarks/attach have in common: runs in turns, ratios, the table."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def say(text=""):
    print(text, file=sys.stderr, flush=True)


class Server:
    """A server that runs until the block ends; `usage` is known then."""

    def __init__(self, command, wrapper=()):
        self.command, self.wrapper = command, list(wrapper)
        self.usage = None

    def __enter__(self):
        self.process = subprocess.Popen(
            self.wrapper + self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            text=True)
        if self.process.stdout.readline() != "listening\n":
            self.process.kill()
            self.process.wait()
            sys.exit(f"{self.command[0]} does not serve")
        self.pid = self.process.pid
        if self.wrapper:
            # The wrapper's end is its child's end.
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
                self.pid = int(file.read().split()[0])
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        _, _, self.usage = os.wait4(self.process.pid, 0)
        self.process.returncode = 0
        self.process.stdout.close()
        # What waits for the processors now is not the next one's.
        time.sleep(0.02)


def processor_seconds(usage):
    return usage.ru_utime + usage.ru_stime


class Bench:
    def __init__(self, programs, directory, options):
        self.programs, self.directory, self.options = programs, directory, options
        self.sockets = 0
        self.results = []

    def socket(self):
        self.sockets += 1
        return f"{self.directory}/{self.sockets}"

    def run(self, server, client, connections, in_flight, size, kind="echo", wrap=None):
        """One run: what the client says, with the processor time of both ends for a call."""
        socket = self.socket()
        wrap = wrap or (lambda end: [])
        warm_up, seconds = self.options.warm_up, self.options.seconds
        with Server(self.programs.server(server, socket), wrap("server")) as serving:
            arguments = [socket, *map(str, (connections, in_flight, size, warm_up, seconds)), kind]
            process = subprocess.Popen(
                wrap("client") + self.programs.client(client) + arguments,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            output = process.stdout.read()
            process.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"the {client} client failed against the {server} server: {output.strip()}")
        result = json.loads(output)
        # Those of the warm-up cost as much; the peers do not count them.
        result.setdefault("all", result["calls"] * (warm_up + seconds) / seconds)
        result["rate"] = result["calls"] / result["seconds"]
        result["processor"] = (
            (processor_seconds(usage) + processor_seconds(serving.usage)) / result["all"] * 1e6)
        return result

    def compare(self, pairs, *shape, **more):
        """Runs each (server, client) in turn, round by round. Returns the rounds."""
        rounds = []
        for number in range(self.options.rounds):
            order = pairs if number % 2 == 0 else list(reversed(pairs))
            rounds.append({pair: self.run(*pair, *shape, **more) for pair in order})
        return rounds

    def report(self, row, figure, value, target=None, better="more", **more):
        met = None
        if target is not None:
            met = value >= target if better == "more" else value <= target
        entry = {"row": row, "figure": figure, "value": value, "target": target, "met": met, **more}
        self.results.append(entry)
        if not self.options.json:
            wanted = ""
            if target is not None:
                sign = "≥" if better == "more" else "≤"
                wanted = f"{sign} {target:g}  {'met' if met else 'MISSED'}"
            print(f"{row:<20} {figure:<44} {value:>12,.2f}   {wanted}", flush=True)


def middle(rounds, pair, key):
    return statistics.median(one[pair][key] for one in rounds)


def ratio(rounds, pair, other, key):
    return statistics.median(one[pair][key] / one[other][key] for one in rounds)


def built_product(product):
    """The folder of a product of this package."""
    say(f"building {product}")
    swift = ["swift", "build", "-c", "release", "--package-path", HERE, "--product", product]
    # Its progress is not a result.
    subprocess.run(swift, check=True, stdout=sys.stderr)
    return subprocess.run(
        [*swift, "--show-bin-path"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def built_peers(peers):
    """The folder of the programs in Go and Rust."""
    return subprocess.run(
        [f"{ROOT}/Tests/Interop/Peers/ttrpc/build", *peers], check=True, stdout=subprocess.PIPE,
        text=True).stdout.strip()


def compile_runtime(path, *flags):
    """Makes peers/fake-runtime."""
    compiler = shutil.which("clang") or shutil.which("gcc") or sys.exit("there is no C compiler")
    subprocess.run(
        [compiler, "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector",
         *flags, "-o", path, f"{HERE}/peers/fake-runtime/runtime.c"], check=True)


def parser(description):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 rounds of half a second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="that each run measures")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before that")
    parser.add_argument("--only", default="", help="words of rows' names, with commas between")
    parser.add_argument("--list", action="store_true", help="the names of the rows")
    parser.add_argument("--json", action="store_true", help="the results as JSON")
    parser.add_argument("--strict", action="store_true", help="fail when a target is missed")
    return parser


def main(parser, rows, programs, directory="/tmp"):
    """Runs the rows that are asked for: names, with what takes a Bench."""
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warm_up = 3, 0.5, 0.2
    if options.rounds < 1 or options.seconds <= 0 or options.warm_up < 0:
        parser.error("--rounds is at least 1, --seconds more than 0, --warm-up not less than 0")
    words = [word for word in options.only.split(",") if word]
    wanted = [row for row in rows(options) if not words or any(word in row[0] for word in words)]
    if options.list:
        print("\n".join(name for name, _ in wanted))
        return
    if not wanted:
        parser.error(f"no row's name contains {options.only} (see --list)")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder:
        bench = Bench(programs(options), folder, options)
        for name, run in wanted:
            say(name)
            run(bench)
    if options.json:
        print(json.dumps(bench.results, indent=2))
    missed = [result for result in bench.results if result["met"] is False]
    if missed:
        say(f"{len(missed)} of the targets missed")
    sys.exit(1 if missed and options.strict else 0)
