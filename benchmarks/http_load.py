"""The client: sends one request again and again over kept connections; run as a process of its own.

``http_load.py PORT METHOD PATH COUNT CONNECTIONS [BODY_FILE|- [HEADER]]``; ends with status 1 at any answer that is
neither 200 nor 304.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path


def request_bytes(port: int, method: str, path: str, body: bytes, header: str) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n"
    if header:
        head += f"{header}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def exchange(sock: socket.socket, request: bytes) -> bytes:
    """Send a request and read its whole answer; returns the body."""
    sock.sendall(request)
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += receive(sock)
    head = data[:end].lower()
    if head.startswith(b"http/1.1 304"):
        return b""
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(data[:2000].decode("utf-8", "replace"))
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    parts = [data[end + 4 :]]
    missing = length - len(parts[0])
    while missing > 0:
        parts.append(receive(sock))
        missing -= len(parts[-1])
    return b"".join(parts)


def receive(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 20)
    if not data:
        raise RuntimeError("the server hung up")
    return data


def main() -> None:
    port, method, path, count, connections = int(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), int(sys.argv[5])
    body_file = sys.argv[6] if len(sys.argv) > 6 else "-"
    header = sys.argv[7] if len(sys.argv) > 7 else ""
    body = b"" if body_file == "-" else Path(body_file).read_bytes()
    request = request_bytes(port, method, path, body, header)
    failures: list[BaseException] = []

    def send_all() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(count // connections):
                    exchange(sock, request)
        except (OSError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=send_all) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"{method} {path}: {failures[0]}")


if __name__ == "__main__":
    main()
