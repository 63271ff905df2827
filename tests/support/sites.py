"""Plain web servers on loopback: mirrors, monitors, and what is neither."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served by path; a number is a status without a body."""

    pages: Mapping[str, bytes | int]
    url: str = ""
    requests: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


@contextmanager
def serving_pages(pages: Mapping[str, bytes | int]) -> Iterator[Site]:
    """Serve these pages; the site notes what was asked, and with which token."""
    site = Site(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            site.requests.append(path)
            token = self.headers.get("Authorization")
            if token is not None:
                site.tokens.append(token)
            page = site.pages.get(path, 404)
            status, body = (page, b"") if isinstance(page, int) else (200, page)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
