"""Tokens: how they are kept, who gets in with one, and what a server without one refuses to do."""

from __future__ import annotations

import ssl
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from comfykernel_api_http import authentication
from comfykernel_api_http.tokens import Token, TokenFile, hash_of, matching
from comfykernel_api_http.transport import refuse_open_door
from comfykernel_sdk.errors import ComfykernelError, ConfigError, NotFound
from comfykernel_sdk.settings import HttpSettings

if TYPE_CHECKING:
    from .conftest import Serve

PAGE = {"Accept": "text/html"}


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    """The tokens of the server that ``serve`` starts."""
    return TokenFile(tmp_path / "user" / "comfykernel")


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_token_is_kept_as_a_hash_that_only_its_owner_may_read(file: TokenFile) -> None:
    secret, token = file.create(user="ann", label="laptop")
    assert secret not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.tokens() == [token]
    assert (token.user, token.label, token.hash) == ("ann", "laptop", hash_of(secret))
    assert matching(secret, file.tokens()) == token
    assert matching(secret[:-1], file.tokens()) is None


def test_tokens_are_revoked_by_id_or_label(file: TokenFile) -> None:
    made: list[Token] = [file.create(user="ann", label=label)[1] for label in ("a", "b", "b")]
    assert file.revoke("a") == made[0]
    with pytest.raises(NotFound, match="Several"):
        file.revoke("b")
    assert file.revoke(made[2].id) == made[2]
    with pytest.raises(NotFound):
        file.revoke(made[2].id)
    assert file.tokens() == [made[1]]
    assert [path.name for path in file.path.parent.iterdir() if ".json-" in path.name] == []


def test_a_damaged_file_is_told(file: TokenFile) -> None:
    assert file.tokens() == []
    file.path.parent.mkdir(parents=True)
    file.path.write_text('{"tokens": 1}')
    with pytest.raises(ComfykernelError, match="damaged"):
        file.tokens()


async def test_every_way_in_asks_for_a_token(serve: Serve, file: TokenFile) -> None:
    secret, _ = file.create(user="default", label="")
    async with serve() as served:
        for method, path in [("GET", "/prompt"), ("POST", "/prompt"), ("GET", "/models"), ("GET", "/nope")]:
            answer = await served.http.request(method, path)
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "token_needed")
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            wrong = await served.http.request(method, path, headers=bearer("ck_no"))
            assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "unknown_token")
        for headers in (bearer(secret), {"Authorization": f"bearer  {secret}"}):
            assert (await served.http.get("/prompt", headers=headers)).status_code == 200
        assert (await served.http.get("/models", params={"token": secret})).status_code == 200
        assert (await served.http.options("/prompt")).status_code == 200
        assert "comfykernel token create" in (await served.http.get("/", headers=PAGE)).text


async def test_a_socket_asks_for_a_token(serve: Serve, file: TokenFile) -> None:
    secret, _ = file.create(user="default", label="")
    async with serve() as served:
        with pytest.raises(InvalidStatus) as refusal:
            await served.socket("a")
        assert refusal.value.response.status_code == 401
        assert b"token_needed" in refusal.value.response.body
        for listener in (
            await served.socket("a", additional_headers=bearer(secret)),
            await served.socket(f"b&token={secret}"),
        ):
            assert (await listener.next())["type"] == "status"


async def test_a_browser_gets_a_cookie_for_the_token_in_the_address(serve: Serve, file: TokenFile) -> None:
    secret, _ = file.create(user="default", label="")
    async with serve() as served:
        answer = await served.http.get(
            f"{served.address}//evil.example/", params={"token": secret, "a": "1 2"}, headers=PAGE
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/evil.example/?a=1+2")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie
        assert (await served.http.get("/models")).status_code == 200
        served.http.cookies.clear()
        assert (await served.http.get("/", params={"token": "ck_no\r\nX: 1"}, headers=PAGE)).status_code == 401
        injected = {**PAGE, **bearer(secret)}
        assert (await served.http.get("/", params={"token": "x\r\nX: 1"}, headers=injected)).status_code == 200


async def test_the_page_that_asks_for_a_token_takes_it(serve: Serve, file: TokenFile) -> None:
    secret, _ = file.create(user="default", label="")
    async with serve() as served:
        page = await served.http.get("/extensions?a=1&b=%26", headers=PAGE)
        assert page.status_code == 401
        assert 'value="/extensions?a=1&amp;b=%26"' in page.text
        assert "form-action 'self'" in page.headers["content-security-policy"]
        wrong = await served.http.post("/login", data={"token": "ck_no", "next": "/"})
        assert (wrong.status_code, 'name="token"' in wrong.text) == (401, True)
        for bad in (b"", b"token=%ff", b"x" * 20_000):
            refused = await served.http.post("/login", content=bad)
            assert (refused.status_code in (400, 401), "set-cookie" in refused.headers) == (True, False)
        assert (await served.http.get("/models")).status_code == 401
        for given, led_to in {
            "/extensions?a=1&b=%26": "/extensions?a=1&b=%26",
            "//evil.example/": "/evil.example/",
            "\\\\evil.example/": "/%5C%5Cevil.example/",
            "https://evil.example/": "/https://evil.example/",
            "/a\r\nSet-Cookie: a=b": "/a%0D%0ASet-Cookie:%20a=b",
        }.items():
            good = await served.http.post("/login", data={"token": f" {secret}\n", "next": given})
            assert (good.status_code, good.headers["location"]) == (303, led_to)
            assert ("HttpOnly" in good.headers["set-cookie"], "SameSite=Strict" in good.headers["set-cookie"]) == (
                True,
                True,
            )
        assert (await served.http.get("/models")).status_code == 200
        foreign = {"Origin": "http://evil.example"}
        assert (await served.http.post("/login", data={"token": secret}, headers=foreign)).status_code == 403


async def test_without_tokens_nobody_logs_in(serve: Serve) -> None:
    async with serve() as served:
        assert (await served.http.post("/login", data={"token": "a"})).status_code == 405


async def test_tokens_made_and_revoked_meanwhile_count(
    serve: Serve, file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "CHECK_EVERY_S", -1.0)
    async with serve() as served:
        assert (await served.http.get("/prompt")).status_code == 200
        secret, token = file.create(user="default", label="")
        assert (await served.http.get("/prompt")).status_code == 401
        assert (await served.http.get("/prompt", headers=bearer(secret))).status_code == 200
        file.path.write_text("{")
        assert (await served.http.get("/prompt", headers=bearer(secret))).status_code == 401
        file.path.unlink()
        other, token = file.create(user="default", label="")
        assert (await served.http.get("/prompt", headers=bearer(other))).status_code == 200
        file.revoke(token.id)
        assert (await served.http.get("/prompt", headers=bearer(other))).status_code == 401
        assert (await served.http.get("/prompt")).status_code == 401


async def test_the_user_of_a_token_wins_over_the_header(serve: Serve, file: TokenFile) -> None:
    ann, _ = file.create(user="Ann", label="")
    eve, _ = file.create(user="Eve", label="")
    async with serve(multi_user=True) as served:
        ids = {name: served.kernel.users.add_user(name) for name in ("Ann", "Eve")}
        as_ann, as_eve = bearer(ann), {**bearer(eve), "Comfy-User": ids["Ann"]}
        assert (await served.http.post("/settings/a", json=1, headers=as_ann)).status_code == 200
        assert (await served.http.get("/settings/a", headers=as_ann)).json() == 1
        assert (await served.http.get("/settings/a", headers=as_eve)).json() is None
        assert served.kernel.users.settings(ids["Ann"]) == {"a": 1}
        await (await served.socket("mine", additional_headers=as_ann)).next()
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            await (await served.socket("mine", additional_headers=as_eve)).next()
        prompt = {"prompt": {"1": {"class_type": "Echo", "inputs": {}}}, "client_id": "mine"}
        assert (await served.http.post("/prompt", json=prompt, headers=as_eve)).status_code == 403
        assert (await served.http.post("/prompt", json=prompt, headers=as_ann)).status_code == 200
        assert [job.user for job in served.kernel.jobs.values()] == [ids["Ann"]]


def test_nobody_opens_a_server_to_the_network_by_accident() -> None:
    wide = HttpSettings(listen="127.0.0.1,0.0.0.0")
    with pytest.raises(ConfigError) as refusal:
        refuse_open_door(wide, token_needed=False)
    for word in ("0.0.0.0", "token create", "--allow-remote-without-token", "COMFYKERNEL_HTTP__ALLOW_REMOTE"):
        assert word in str(refusal.value)
    refuse_open_door(wide, token_needed=True)
    refuse_open_door(HttpSettings(listen="0.0.0.0", allow_remote_without_token=True), token_needed=False)
    refuse_open_door(HttpSettings(listen="127.0.0.1,::1,localhost"), token_needed=False)


async def test_the_refusal_comes_before_the_address_is_taken(serve: Serve, file: TokenFile) -> None:
    with pytest.raises(ConfigError):
        async with serve(listen="0.0.0.0"):
            pass
    file.create(user="default", label="")
    async with serve(listen="0.0.0.0") as served:
        assert (await served.http.get("/prompt")).status_code == 401


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    try:
        subprocess.run([*command.split(), *more], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl here")
    return paths


async def test_https_and_wss(serve: Serve, file: TokenFile, certificate: tuple[str, str]) -> None:
    secret, _ = file.create(user="default", label="")
    trust = ssl.create_default_context(cafile=certificate[0])
    async with serve(tls_certificate=certificate[0], tls_key=certificate[1]) as served:
        assert served.address.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(base_url=served.address, verify=trust, trust_env=False) as client:
            for path in ("/prompt", "/models"):
                answer = await client.get(path, headers=bearer(secret))
                assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
            login = await client.get("/", params={"token": secret}, headers=PAGE)
            assert "Secure" in login.headers["set-cookie"]
            same = {**bearer(secret), "Origin": served.address}
            assert (await client.get("/prompt", headers=same)).status_code == 200
        listener = await served.socket("a", additional_headers=bearer(secret), ssl=trust)
        assert (await listener.next())["type"] == "status"


@pytest.fixture(scope="module")
def locked_key(certificate: tuple[str, str]) -> str:
    """The key, encrypted with the passphrase ``open sesame``."""
    path = str(Path(certificate[1]).with_name("locked.pem"))
    command = ["openssl", "pkey", "-in", certificate[1], "-aes256", "-passout", "pass:open sesame", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    return path


async def test_a_key_with_a_passphrase(
    serve: Serve, certificate: tuple[str, str], locked_key: str, tmp_path: Path
) -> None:
    words = tmp_path / "words"
    trust = ssl.create_default_context(cafile=certificate[0])
    words.write_text("open sesame\n")
    options = {"tls_certificate": certificate[0], "tls_key": locked_key}
    async with (
        serve(**options, tls_key_password_file=str(words)) as served,
        httpx.AsyncClient(base_url=served.address, verify=trust, trust_env=False) as client,
    ):
        assert (await client.get("/prompt")).status_code == 200
    words.write_text("wrong\n")
    for file in (str(words), "", str(tmp_path / "nowhere"), "/dev/null"):
        with pytest.raises(ConfigError, match="tls_key_password_file"):
            async with serve(**options, tls_key_password_file=file):
                pass


async def test_a_certificate_that_is_none_is_told(serve: Serve, certificate: tuple[str, str]) -> None:
    for given in ((certificate[1], certificate[0]), ("/no/such.pem", certificate[1]), ("", certificate[1])):
        with pytest.raises(ConfigError, match="certificate"):
            async with serve(tls_certificate=given[0], tls_key=given[1]):
                pass
