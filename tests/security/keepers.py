"""Keepers of keys to test against: a token of SoftHSM, moto's KMS, and a stand-in for Vault."""

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from security.hsm import Pkcs11Keys
from tests.standing import absent

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
TOKEN, PIN, VAULT_TOKEN = "drawbridge", "of-a-test", "hvs.of-a-test"


def softhsm(directory: Path, *keys: str) -> Path:
    """Make a token with keys that never leave it; return the file of its PIN."""
    if not SOFTHSM.is_file():
        absent(f"there is no SoftHSM: {SOFTHSM} is not there")
    import pkcs11  # noqa: PLC0415

    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory}/tokens\n")
    os.environ["SOFTHSM2_CONF"] = str(directory / "softhsm2.conf")
    said = ["--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", PIN]
    subprocess.run(["softhsm2-util", *said], check=True, capture_output=True)
    library = pkcs11.lib(str(SOFTHSM))
    library.reinitialize()
    with library.get_token(token_label=TOKEN).open(user_pin=PIN, rw=True) as session:
        for key in keys:
            session.generate_key(pkcs11.KeyType.AES, 256, label=key, store=True)
    pin = directory / "pin"
    pin.write_text(f"{PIN}\n")
    return pin


def hsm(pin: Path, key: str) -> Pkcs11Keys:
    return Pkcs11Keys(SOFTHSM, TOKEN, key, pin, os.urandom)


@contextmanager
def moto() -> Iterator[str]:
    """Run moto's KMS; return its URL."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - takes seconds

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class FakeTransit(BaseHTTPRequestHandler):
    """A derived key of Vault's transit engine, as its documentation has the interface.

    It is ours, and shows no more than that we ask as documented, and heed the answers.
    """

    keys: list[bytes]
    status: int

    def do_GET(self) -> None:
        self._answer({"latest_version": len(self.keys)})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        context = base64.b64decode(asked["context"])
        what = self.path.split("/")[3]
        if self.headers["x-vault-token"] != VAULT_TOKEN:
            self._answer({}, 403)
            return
        try:
            if what == "datakey":
                plain = os.urandom(32)
                answer = {"plaintext": base64.b64encode(plain).decode()} | self._under(
                    plain, context
                )
            else:
                plain = self._open(asked["ciphertext"], context)
                opened = {"plaintext": base64.b64encode(plain).decode()}
                answer = opened if what == "decrypt" else self._under(plain, context)
        except InvalidTag:
            self._answer({}, 400)
            return
        self._answer(answer)

    def _under(self, plain: bytes, context: bytes) -> dict[str, str]:
        nonce = os.urandom(12)
        blob = nonce + AESGCM(self.keys[-1]).encrypt(nonce, plain, context)
        return {"ciphertext": f"vault:v{len(self.keys)}:{base64.b64encode(blob).decode()}"}

    def _open(self, ciphertext: str, context: bytes) -> bytes:
        _, version, text = ciphertext.split(":")
        blob = base64.b64decode(text)
        return AESGCM(self.keys[int(version[1:]) - 1]).decrypt(blob[:12], blob[12:], context)

    def _answer(self, data: dict[str, Any], status: int | None = None) -> None:
        body = json.dumps({"data": data}).encode()
        self.send_response(status or type(self).status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def vault() -> Iterator[tuple[str, type[FakeTransit]]]:
    """Run the stand-in; return its URL, and its keys and manners to change."""
    served = type("Served", (FakeTransit,), {"keys": [os.urandom(32)], "status": 200})
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
