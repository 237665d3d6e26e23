"""The listener."""

import socket
import ssl
import threading
from importlib.resources import files

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

from daemon.core.errors import ForewarnError

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>forewarn: HTTP API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# validatorUrl: unless it is null, the document's address is sent to a public validator
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
# Swagger UI draws with data: pictures; scripts and styles are only those of these files
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_swagger_ui(app: FastAPI) -> None:
    """Add the page and what it loads."""
    folder = files("fastapi_swagger.resources")

    @app.get("/docs", include_in_schema=False)
    def page() -> Response:
        return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    def start() -> Response:
        return Response(_START, media_type="text/javascript")

    @app.get("/docs/{name}", include_in_schema=False)
    def part(name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404, f"no file {name!r}")
        return Response(folder.joinpath(name).read_bytes(), media_type=_FILES[name])


_BACKLOG = 128
_GRACE_SECONDS = 1
_MOST_CONNECTIONS = 512
_MOST_HEADER_BYTES = 32_768


class AddressUnavailable(ForewarnError):
    """The configured address cannot be listened on."""


class HttpServer:
    """Serves an application from a thread of its own."""

    def __init__(self, app: FastAPI, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Bind ``host`` and ``port`` at once, so that a taken port is an error before anything else starts.

        Args:
            app: what to serve.
            host: name or address.
            port: 0 is any.
            tls: None is plain HTTP.

        Raises:
            AddressUnavailable: it cannot be bound.
        """
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        except OSError as error:
            raise AddressUnavailable(
                f"http.listen: {host}:{port} cannot be bound: {error.strerror}; "
                "stop what listens there or choose another port"
            ) from error
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            limit_concurrency=_MOST_CONNECTIONS,
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        )
        # uvicorn makes a context from file names only
        config.load()
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more; requests under way get a second."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_GRACE_SECONDS + 1)
        self._socket.close()
