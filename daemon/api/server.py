"""The HTTP server in a thread of its own, and the Swagger UI that it serves."""

import socket
import ssl
import threading
from importlib.resources import files

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

from daemon.config.schema import HttpConfig
from daemon.core.errors import ForewarnError

_BACKLOG = 128
_GRACE_SECONDS = 1
_MAXIMUM_CONNECTIONS = 512
_MAXIMUM_HEADER_BYTES = 32_768

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
# unless validatorUrl is null, Swagger UI sends the address of the document to a public validator
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
# Swagger UI has images in data: URLs; scripts and styles come from these files only
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_swagger_ui(app: FastAPI) -> None:
    """Add the page /docs and its files; no other host is asked for any."""
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


class AddressUnavailable(ForewarnError):
    """The configured address cannot be bound."""


class HttpServer:
    """Serves an application in a thread of its own."""

    def __init__(self, app: FastAPI, http: HttpConfig, tls: ssl.SSLContext | None = None) -> None:
        """Bind the address now, so that a port in use is an error before anything else starts.

        Args:
            app: the application.
            http: address and port; port 0 is any free port.
            tls: None is plain HTTP.

        Raises:
            AddressUnavailable: the address cannot be bound.
        """
        try:
            family, _, _, _, address = socket.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        except OSError as error:
            raise AddressUnavailable(
                f"http.listen: {http.listen} cannot be bound: {error.strerror}; "
                "stop the program that uses the port, or choose another port"
            ) from error
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            limit_concurrency=_MAXIMUM_CONNECTIONS,
            h11_max_incomplete_event_size=_MAXIMUM_HEADER_BYTES,
        )
        # uvicorn builds a TLS context from file names only
        config.load()
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="http", daemon=True
        )

    @property
    def port(self) -> int:
        """Port of the bound address."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to serve; running requests get a second."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_GRACE_SECONDS + 1)
        self._socket.close()
