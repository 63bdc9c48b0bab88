"""An identity provider on this machine: its issuer, its keys, its tokens, and all that can be wrong with it."""

import base64
import contextlib
import functools
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from project import free_port

AUDIENCE = "shortener"
DISCOVERY = "/realm/.well-known/openid-configuration"
KEYS = "/realm/keys"
PRIMES = json.loads(Path(__file__).with_name("primes.json").read_text())  # to find them would take seconds
Answer = tuple[int, Mapping[str, str], bytes]


@functools.cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """Return the private key of a name, always the same. A number is a key of so many bits."""
    p, q = (int(prime, 16) for prime in PRIMES[name])
    d = pow(65537, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(65537, p * q)).private_key(
        unsafe_skip_rsa_key_validation=True  # which takes longer than all else that a test does with a key
    )


def unsigned(number: int) -> str:
    """Return a Base64urlUInt (RFC 7518, 2)."""
    return segment(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def segment(value: object) -> str:
    """Return base64url without padding."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(name: str, /, **changes: object) -> dict[str, object]:
    """Return the public half of the private key of a name."""
    public = private_key(name).public_key().public_numbers()
    own = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, "n": unsigned(public.n), "e": unsigned(public.e)}
    return {name: value for name, value in {**own, **changes}.items() if value is not None}


@dataclass
class Provider:
    """Be a provider. ``keys`` are published; ``answers`` are what a path answers in place of the right thing."""

    port: int
    keys: list[object] = field(default_factory=lambda: [jwk("key-1")])
    answers: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    server: ThreadingHTTPServer | None = None
    certificate: Path | None = None  # with its key; then it speaks https

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.url}/realm"

    def token(self, now: float, kid: str = "key-1", header: Mapping[str, object] | None = None, **claims: Any) -> str:
        """Return a token signed with the private key of the name ``kid``; a claim that is None is left out."""
        own = {"iss": self.issuer, "aud": AUDIENCE, "sub": "user-1", "exp": int(now) + 600}
        said = {name: value for name, value in {**own, **claims}.items() if value is not None}
        return jwt.encode(said, private_key(kid), "RS256", {"kid": kid, **(header or {})})

    def publish(self, *kids: str) -> None:
        self.keys = [jwk(kid) for kid in kids]

    def says(self, path: str, value: object, status: int = 200, **headers: str) -> None:
        """Have a path answer with this, from now on."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.answers[path] = lambda: (status, headers, body)

    def hangs(self, path: str) -> None:
        """Have a path answer nothing until the test is over."""

        def wait() -> Answer:
            self.hold.wait(60)
            return 503, {}, b""

        self.answers[path] = wait

    def discovery(self) -> dict[str, object]:
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.url}{KEYS}",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]()
        documents: dict[str, object] = {DISCOVERY: self.discovery(), KEYS: {"keys": self.keys}}
        if path in documents:
            return 200, {"Content-Type": "application/json"}, json.dumps(documents[path]).encode()
        return 404, {}, b""

    def start(self) -> None:
        """Listen, on the same port each time."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = provider.answer(self.path)
                with contextlib.suppress(ConnectionError):  # nobody waits for it any more
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse every connection until the next start."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


def self_signed(path: Path) -> Path:
    """Write a certificate for 127.0.0.1, and its key, to a file."""
    key = private_key("TLS")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an identity provider")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    kept = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(encoding) + kept)
    return path


@contextlib.contextmanager
def running(certificate: Path | None = None) -> Iterator[Provider]:
    """Yield a provider that listens."""
    provider = Provider(free_port(), certificate=certificate)
    provider.start()
    try:
        yield provider
    finally:
        provider.hold.set()
        provider.stop()
