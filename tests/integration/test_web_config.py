"""Access to the HTTP server: TLS, client certificates, users and a token from the web configuration."""

import os
import re
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from daemon.api.app import create_app
from daemon.api.security import Authentication, ClientLimits, WebAccess
from daemon.api.server import HttpServer
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.loading import default_text, load_config
from daemon.config.schema import ExpositionConfig, HttpConfig
from daemon.config.web import load_web_config
from daemon.core.errors import ConfigError
from tests.fakes.source import FakeClock
from tests.servers.certificates import Certificates, make_certificates

HASH = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users:\n  alice: {HASH}\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and a certificate of its."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def tls(certificates: Certificates, client: str = "") -> str:
    text = f"tls_server_config:\n  cert_file: {certificates.cert}\n  key_file: {certificates.key}\n"
    return text + (f"  client_auth_type: {client}\n  client_ca_file: {certificates.ca}\n" if client else "")


class Listener:
    """The application behind a real listener with a web configuration; a context manager that stops it."""

    def __init__(self, web: Path, token: Path | None = None, limits: ClientLimits | None = None) -> None:
        clock = FakeClock(0)
        snapshots = SnapshotCache(clock, {}, ExpositionConfig())
        access = WebAccess(web)
        authentication = Authentication(token, lambda: access.now().basic_auth_users)
        app = create_app(
            snapshots,
            PrometheusTelemetry(clock),
            lambda: None,
            reload=lambda: None,
            authentication=authentication,
            access=access,
            limits=limits,
        )
        self._server = HttpServer(app, HttpConfig(listen="127.0.0.1:0"), access.context)
        self.url = f"{'https' if access.context else 'http'}://127.0.0.1:{self._server.port}"

    def __enter__(self) -> "Listener":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


def trusting(certificates: Certificates, own: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    if own:
        context.load_cert_chain(certificates.cert, certificates.key)
    return context


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """Where a web configuration is written."""
    return tmp_path / "web.yaml"


def test_users_and_a_token_side_by_side(web: Path, tmp_path: Path) -> None:
    """Either is enough; without valid credentials the answer names the schemes; health checks stay open."""
    web.write_text(USERS)
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    with Listener(web, token) as listener:

        def status(**given: object) -> int:
            return httpx.get(listener.url + "/metrics", **given).status_code  # type: ignore[arg-type]

        assert status(auth=("alice", "s3cret")) == 200
        assert status(auth=("alice", "s3cret")) == 200
        assert status(headers={"Authorization": "Bearer t0ken"}) == 200
        for wrong in ("Bearer no", "Basic !!", "Basic YWxpY2U=", "Digest x", "Bearer", "Basic"):
            assert status(headers={"Authorization": wrong}) == 401
        assert status(auth=("alice", "wrong")) == status(auth=("bob", "s3cret")) == status(auth=("", "")) == 401
        assert status(auth=("alice", "x" * 5000)) == 401
        answer = httpx.get(listener.url + "/metrics")
        assert answer.headers.get_list("WWW-Authenticate") == ["Bearer", 'Basic realm="forewarn"']
        assert httpx.get(listener.url + "/healthz").status_code == 200
        token.unlink()
        answer = httpx.get(listener.url + "/metrics", headers={"Authorization": "Bearer t0ken"})
        assert answer.status_code == 503
        assert "bearer_token_file" in answer.json()["detail"]
        assert str(tmp_path) not in answer.text


def test_clients_of_a_proxy_on_this_host_are_counted_separately(web: Path) -> None:
    """By the forwarded address; too many failed logins of one client do not lock out the others."""
    web.write_text(USERS)
    with Listener(web, limits=ClientLimits(failed_logins_per_minute=2)) as listener:

        def status(client: str, password: str) -> int:
            forwarded = {"X-Forwarded-For": client}
            return httpx.get(listener.url + "/metrics", auth=("alice", password), headers=forwarded).status_code

        assert [status("192.0.2.1", "wrong") for _ in range(3)] == [401, 401, 429]
        assert status("192.0.2.1", "s3cret") == 429
        assert status("192.0.2.2", "s3cret") == 200


def test_tls_and_client_certificates(web: Path, certificates: Certificates) -> None:
    """If required, only clients with a certificate of the authority are accepted; plain HTTP never is."""
    web.write_text(tls(certificates, "RequireAndVerifyClientCert"))
    with Listener(web) as listener:
        assert httpx.get(listener.url + "/healthz", verify=trusting(certificates, own=True)).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(listener.url + "/healthz", verify=trusting(certificates))
        with pytest.raises(httpx.TransportError):
            httpx.get(listener.url.replace("https", "http") + "/healthz")
    web.write_text(tls(certificates, "VerifyClientCertIfGiven"))
    with Listener(web) as listener:
        assert httpx.get(listener.url + "/healthz", verify=trusting(certificates)).status_code == 200


def test_a_renewed_certificate_and_changed_users_are_taken_up(
    web: Path, certificates: Certificates, tmp_path: Path
) -> None:
    """Without a restart, from the next handshake and request on; an invalid file changes nothing."""
    first, renewed = make_certificates(tmp_path / "first"), make_certificates(tmp_path / "renewed")
    live = Certificates(first.ca, tmp_path / "live.pem", tmp_path / "live.key")
    for source, target in ((first.cert, live.cert), (first.key, live.key)):
        shutil.copy(source, target)
    web.write_text(tls(live) + USERS)
    with Listener(web) as listener:
        assert httpx.get(listener.url + "/metrics", verify=trusting(first), auth=("alice", "s3cret")).status_code == 200
        web.write_text("broken: [")
        assert httpx.get(listener.url + "/metrics", verify=trusting(first), auth=("alice", "s3cret")).status_code == 200
        for source, target in ((renewed.cert, live.cert), (renewed.key, live.key)):
            shutil.copy(source, target)
        web.write_text(tls(live) + USERS.replace("alice", "bob"))
        os.utime(web, (1, 1))
        answer = httpx.get(listener.url + "/metrics", verify=trusting(renewed), auth=("alice", "s3cret"))
        assert answer.status_code == 401
        assert httpx.get(listener.url + "/metrics", verify=trusting(renewed), auth=("bob", "s3cret")).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(listener.url + "/healthz", verify=trusting(first))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_server_confg: {}", "tls_server_confg: unknown key; did you mean tls_server_config?"),
        ("tls_server_config: {cert_file: a.pem}", "tls_server_config.key_file: missing"),
        ("tls_server_config: {cert_file: a.pem, key_file: a.key}", "a.pem"),
        ("basic_auth_users: {alice: s3cret}", "alice: not a bcrypt hash"),
        ("tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}", "client_auth_type"),
        ("tls_server_config: {cert_file: a, key_file: b, client_auth_type: VerifyClientCertIfGiven}", "client_ca_file"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(web: Path, text: str, said: str) -> None:
    """File, key and fix; never the value of a password."""
    web.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load_web_config(web)
    assert str(web) in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fine"),
    # named: the hash is another one at each start, and two workers must agree on the name of a test
    [pytest.param(USERS, True, id="users"), pytest.param("http_server_config: {headers: {X-A: b}}", False, id="none")],
)
def test_an_address_for_all_needs_a_web_configuration_that_asks_who_they_are(web: Path, text: str, fine: bool) -> None:
    """A web configuration with headers only does not allow an address that is not loopback."""
    web.write_text(text)
    config = web.with_name("config.yaml")
    config.write_text(
        default_text().replace("listen: 127.0.0.1:9855", "listen: 0.0.0.0:9855\n  web_config_file: web.yaml")
    )
    if fine:
        assert load_config(config).http.web_config_file == web
        return
    with pytest.raises(ConfigError, match=r"http\.listen: 0\.0\.0\.0:9855 is not loopback.*basic_auth_users"):
        load_config(config)


@pytest.fixture
def client(web: Path) -> Iterator[TestClient]:
    """The application with a header of its user's own."""
    web.write_text("http_server_config: {headers: {X-Frame-Options: SAMEORIGIN, X-Team: ops}}")
    clock = FakeClock(0)
    access = WebAccess(web)

    def fails() -> None:
        raise RuntimeError("secret internals")

    snapshots = SnapshotCache(clock, {}, ExpositionConfig())
    app = create_app(
        snapshots,
        PrometheusTelemetry(clock),
        lambda: None,
        reload=fails,
        authentication=Authentication(None, dict),
        access=access,
    )
    # as it is outside the service, structlog draws every variable of a traceback, for seconds
    with capture_logs(), TestClient(app, raise_server_exceptions=False) as opened:
        yield opened


def test_every_answer_is_hardened_and_a_bug_shows_nothing(client: TestClient) -> None:
    """Also errors; headers of the user replace the defaults; an exception is an error without its text."""
    for answer in (client.get("/healthz"), client.get("/nowhere"), client.post("/-/reload")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (answer.headers["X-Frame-Options"], answer.headers["X-Team"]) == ("SAMEORIGIN", "ops")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    answer = client.post("/-/reload")
    assert answer.status_code == 500
    assert "internals" not in answer.text


def test_a_page_of_another_site_changes_nothing(client: TestClient) -> None:
    """A browser names the site that a request comes from; ours may, others may only look."""
    assert client.post("/-/reload", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/-/reload", headers={"Origin": "null"}).status_code == 403
    assert client.get("/healthz", headers={"Origin": "https://evil.example"}).status_code == 200
    assert client.post("/-/reload", headers={"Origin": "http://evil", "Host": "evil"}).status_code == 403
    here = {"Origin": "http://127.0.0.1:9855", "Host": "127.0.0.1:9855"}
    assert client.post("/-/reload", headers=here).status_code == 500
    assert client.post("/-/reload").status_code == 500


def test_a_body_that_is_too_large_is_not_read(client: TestClient) -> None:
    """Nor one whose length is not said, where nothing of that size is expected."""
    assert client.post("/-/reload", content=b"x" * 70_000).status_code == 413
    assert client.post("/-/reload", content=iter([b"x"])).status_code == 413
