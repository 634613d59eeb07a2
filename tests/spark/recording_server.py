"""Run moto on a port of the kernel's choice until stdin ends; write one JSON line per request to a file."""

import json
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log(self, *args: object) -> None:
        """Keep the test's output clean."""


def main(record: str) -> None:
    moto = DomainDispatcherApplication(create_backend_app)

    def recording(environ, start_response):
        line = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "query": environ.get("QUERY_STRING", ""),
            "host": environ.get("HTTP_HOST"),
            "key": environ.get("HTTP_X_ISOLATED_EMR_KEY"),
            "authorization": environ.get("HTTP_AUTHORIZATION", ""),
        }
        with open(record, "a") as file:
            file.write(json.dumps(line) + "\n")
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, recording, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


main(sys.argv[1])
