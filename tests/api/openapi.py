"""Holds the API to its own description: schemathesis asks everything that /openapi.json describes of a
relay at work with data in it. No 5xx, nothing undocumented, every answer as described; and everything
that is described has been answered with 200 at least once, so that an empty relay cannot pass.

Usage: openapi.py RELAY TOOLS, the binary and the folder that requirements.txt was installed into.
"""

import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TOKEN = "the-token-of-this-test"
# It never ends, so there is no whole answer to judge; tests/it/stream.rs reads it.
ENDLESS = "/api/v1/stream"
PATIENCE = 30

RULES = """
[admin]
listen = "127.0.0.1:0"
token = "{token}"
[server]
listen = "127.0.0.1:0"
[log]
format = "json"
[sources.jobmojito]
auth = "none"
[destinations.takes]
url = "http://{takes}/in"
[destinations.rejects]
url = "http://{rejects}/in"
[destinations.down]
url = "http://127.0.0.1:1/in"
{orphan}
[[routes]]
to = [{to}]
"""
ORPHAN = """
[destinations.gone]
url = "http://127.0.0.1:1/in"
"""


class Running:
    """A command that is ended with the test, and its output line by line."""

    def __init__(self, folder, *command, log=subprocess.PIPE):
        both = {"stdout": subprocess.DEVNULL, "stderr": log}
        if log is not subprocess.PIPE:
            both = {"stdout": subprocess.PIPE, "stderr": log}
        self.process = subprocess.Popen(command, cwd=folder, env={}, text=True, **both)
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        # To the end, also when nobody asks any more: a full pipe would hold the command up.
        for line in self.process.stderr or self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def until(self, words):
        for line in iter(self.lines.get, None):
            if words in line:
                return line
        sys.exit(f"{self.process.args} ended before it said {words!r}")

    def end(self):
        self.process.kill()
        self.process.wait()


def ask(url, body=None):
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def sink(folder, relay, status):
    running = Running(folder, relay, "sink", "--port", "0", "--status", status, log=subprocess.DEVNULL)
    line = running.until("sink listens on")
    return running, line.split("http://")[1].split(";")[0].strip()


def fill(ingress, admin):
    """Two revisions of one interview and one of another, each delivered, dead, and waiting twice."""
    for subject, score in [("i-1", 5), ("i-1", 6), ("i-2", 7)]:
        body = {"id": subject, "status": "active", "interview_status": "completed", "score": score}
        ask(f"http://{ingress}/hooks/jobmojito", json.dumps(body).encode())
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        counts = ask(f"http://{admin}/api/v1/status")["counts"]
        if (counts["delivered"], counts["dead"], counts["waiting"]) == (3, 3, 6):
            return
    sys.exit(f"the deliveries are not where they should be: {counts}")


def with_examples(document, admin):
    """The description, with ids and names of this relay for which there is something to do."""
    first = lambda what: ask(f"http://{admin}/api/v1/{what}&limit=1")["items"][0]["id"]
    dead, waiting = first("deliveries?state=dead"), first("deliveries?state=waiting&destination=down")
    known = {
        "/api/v1/events/{id}": first("events?type=interview.submitted"),
        "/api/v1/deliveries/{id}": dead,
        "/api/v1/deliveries/{id}/replay": dead,
        "/api/v1/deliveries/{id}/discard": waiting,
        "/api/v1/destinations/{name}/move": "gone",
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["example"] = known.get(path, "takes")
    move = document["paths"]["/api/v1/destinations/{name}/move"]["post"]["requestBody"]
    move["content"]["application/json"]["example"] = {"to": "takes"}
    return document


def never_done(document, report):
    """Operations that were never answered with 200."""
    done = set()
    for line in report.read_text().splitlines():
        scenario = json.loads(line).get("ScenarioFinished")
        if not scenario:
            continue
        recorder = scenario["recorder"]
        for name, interaction in recorder.get("interactions", {}).items():
            answer = interaction.get("response") or {}
            if answer.get("status_code") == 200:
                case = recorder["cases"][name]["value"]
                done.add(f"{case['method']} {case['path']}")
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    return described - done - {f"GET {ENDLESS}"}


def schemathesis(tools, folder, admin, document):
    (folder / "openapi.json").write_text(json.dumps(document))
    # What a name stands for is no matter of schemas: one that nothing has is a 422 here, as good as a 404.
    (folder / "schemathesis.toml").write_text(
        '[checks]\npositive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]\n'
    )
    report = folder / "report.ndjson"
    command = [
        sys.executable, str(tools / "bin" / "schemathesis"), "run", str(folder / "openapi.json"),
        "--url", f"http://{admin}", "--header", f"Authorization: Bearer {TOKEN}",
        "--checks", "all", "--max-examples", "25", "--generation-deterministic", "--continue-on-failure",
        "--exclude-path", ENDLESS, "--request-timeout", "10", "--no-color",
        "--report", "ndjson", "--report-ndjson-path", str(report),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tools), "COLUMNS": "120"}
    ended = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
    return ended, report


def main():
    relay, tools = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        running = []
        try:
            for status in ["200", "422"]:
                running.append(sink(folder, relay, status))
            takes, rejects = (address for _, address in running)
            rules = lambda orphan, to: (folder / "relay.toml").write_text(
                RULES.format(token=TOKEN, takes=takes, rejects=rejects, orphan=orphan, to=to)
            )
            rules(ORPHAN, '"takes", "rejects", "down", "gone"')
            running.append((Running(folder, relay, "serve"), None))
            ready = json.loads(running[-1][0].until("relay is ready"))
            ingress, admin = ready["ingress"], ready["admin"]
            fill(ingress, admin)
            rules("", '"takes", "rejects", "down"')
            ask(f"http://{admin}/api/v1/reload", b"")
            document = with_examples(ask(f"http://{admin}/openapi.json"), admin)
            ended, report = schemathesis(tools, folder, admin, document)
            if ended.returncode != 0:
                sys.exit(f"{ended.stdout}\n{ended.stderr}")
            missing = never_done(document, report)
            if missing:
                sys.exit(f"never answered with 200, so not tried: {', '.join(sorted(missing))}")
            print(next(line for line in ended.stdout.splitlines() if "generated," in line).strip())
        finally:
            for one, _ in running:
                one.end()


main()
