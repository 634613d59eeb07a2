"""A neighbour at the keeper's socket, at the JVM's ports, or in the place of a keeper."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_isolated_emr.errors import KeeperDied
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from tests.conftest import UNDER_ONE_SPARK, environ_of_run

from .conftest import Start, make_session

#: Says what the keeper answers to who wants to join the session.
CALLER = """
import socket
client = socket.socket(socket.AF_UNIX)
client.settimeout(60)
try:
    client.connect("keeper.sock")
    client.sendall(b'{"id": 1, "op": "attach", "worker": "gw0"}\\n')
    print(client.recv(65536))
except PermissionError:
    print("not let in")
except ConnectionError:
    # It was closed before all was sent.
    print(b"")
"""

#: Listens in the place of a keeper, and says all that anybody sends.
IMPOSTOR = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
os.chdir(sys.argv[1])
listener.bind("keeper.sock")
os.chmod("keeper.sock", 0o777)
listener.listen()
print("listens", flush=True)
for _ in range(2):
    connection, _ = listener.accept()
    with connection:
        print(connection.recv(65536), flush=True)
"""


def call(directory: Path, before: tuple[str, ...]) -> str:
    """Call the keeper whose socket is in a directory, from inside: the kernel's limit for the path of a socket is short."""
    command = [*before, sys.executable, "-I", "-c", CALLER]
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_keeper_hears_nobody_else(home, start: Start, as_nobody):
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", "exec", "--", sys.executable, "-c", code]
    process = start(*command, env=environ_of_run(home))
    assert process.stdout.readline() == "up\n"
    (session,) = (home / "sessions").iterdir()
    assert '"run_id"' in call(session, ())
    # By the modes of the socket and of the directories that it is in.
    assert call(session, as_nobody) == "not let in"
    # Were these open, by who is at the other end.
    (session / "keeper.sock").chmod(0o777)
    assert call(session, as_nobody) == "b''"
    # Nothing came of it.
    assert '"run_id"' in call(session, ())
    process.stdin.close()
    assert process.wait() == 0
    assert not session.exists()


def test_nobody_else_is_taken_for_a_keeper(tmp_path, root: StateRoot, start: Start, as_nobody):
    session = make_session(root)
    session.path.chmod(0o777)
    for path in session.path.parents:
        if path.is_relative_to(tmp_path.parent):
            path.chmod(0o711)
    impostor = start(*as_nobody, sys.executable, "-I", "-c", IMPOSTOR, str(session.path))
    assert impostor.stdout.readline() == "listens\n"
    with pytest.raises(KeeperDied, match="Another user listens there"):
        KeeperClient.attach(session.path, "gw0")
    assert KeeperClient.claim(session.path, "f" * 32, {"cwd": "/secret"}, print) is None
    # Nor was it told anything.
    assert [impostor.stdout.readline() for _ in range(2)] == ["b''\n", "b''\n"]
    session.release()


#: A test that has another user ask all ports of its JVM.
SUITE = """
import json, os, subprocess, sys
import psutil

def test_it(spark):
    cached = spark.range(1000).cache()
    assert cached.count() == 1000
    context = spark.sparkContext
    gateway = context._gateway.gateway_parameters
    listening = {
        (found.pid, found.laddr.port, found.laddr.ip.removeprefix("::ffff:"))
        for found in psutil.net_connections("tcp")
        if found.status == "LISTEN"
    }
    (jvm,) = {pid for pid, port, _ in listening if port == gateway.port}
    ports = {port: ip for pid, port, ip in listening if pid == jvm}
    # The gateway, the driver and its blocks; one more would have to be looked at.
    assert len(ports) == 3
    assert set(ports.values()) == {"127.0.0.1"}
    asked = {
        "gateway": gateway.port,
        "secret": gateway.auth_token,
        "others": [port for port in ports if port != gateway.port],
        "application": context.applicationId,
    }
    with open(os.environ["ASKED"], "w") as file:
        json.dump(asked, file)
    command = [*json.loads(os.environ["AS_NOBODY"]), sys.executable, "-I", "-c", os.environ["ASKER"]]
    result = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with open(os.environ["ANSWERS"], "w") as file:
        file.write(result.stdout)
    # It is what it was.
    assert cached.count() == 1000
"""

#: Asks the gateway for a property of the JVM's, and the others for cached data, in their own protocols.
ASKER = """
import json, socket, struct, sys

asked = json.load(sys.stdin)
CALL = b"c\\nz:java.lang.System\\ngetProperty\\nsjava.version\\ne\\n"

def answer(port, *parts):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.settimeout(60)
        replies = []
        for part in parts:
            try:
                connection.sendall(part)
                replies.append(connection.recv(65536).decode("latin-1"))
            except ConnectionError as error:
                replies.append(type(error).__name__)
        return replies

def text(value):
    return struct.pack(">i", len(value)) + value.encode()

def request(body):
    # A frame of Spark's: its length, the kind of message, an id, the body's length.
    message = struct.pack(">bqi", 3, 7, len(body)) + body
    return struct.pack(">q", 8 + len(message)) + message

blocks = ["rdd_%d_0" % number for number in range(20)]
open_blocks = b"\\0" + text(asked["application"]) + text("driver") + struct.pack(">i", len(blocks))
open_blocks += b"".join(map(text, blocks))
secret = asked["secret"]
print(json.dumps({
    "no secret": answer(asked["gateway"], CALL),
    "another": answer(asked["gateway"], b"A\\nguess\\n", CALL),
    "part of it": answer(asked["gateway"], ("A\\n%s\\n" % secret[:-1]).encode(), CALL),
    "the secret": answer(asked["gateway"], ("A\\n%s\\n" % secret).encode(), CALL),
    "others": [answer(port, request(body))[0] for port in asked["others"] for body in (open_blocks, b"\\xac\\xed")],
}))
"""


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_the_jvm_answers_to_who_has_its_secret(tmp_path, project, run_pytest, as_nobody):
    (project / "test_it.py").write_text(SUITE)
    answers = tmp_path / "answers"
    run_pytest(
        "--isolated-emr",
        ASKER=ASKER,
        AS_NOBODY=json.dumps(as_nobody),
        ANSWERS=str(answers),
        ASKED=str(tmp_path / "asked"),
    ).assert_passed(1)
    found = json.loads(answers.read_text())
    for how in ("no secret", "another", "part of it"):
        assert "Authentication error" in found[how][0], found[how]
        assert all("!y" not in reply for reply in found[how]), found[how]
    assert found["the secret"][0] == "!yv\n"
    assert found["the secret"][1].startswith("!ys"), found["the secret"]
    assert len(found["others"]) == 4
    for reply in found["others"]:
        assert "Expected SaslMessage" in reply, reply
