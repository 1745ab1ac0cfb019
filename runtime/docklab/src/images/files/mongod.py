#!/usr/bin/python3
"""A stand-in for mongod: MongoDB's wire protocol over SQLite, and mongod's answer to HTTP."""

import argparse
import logging
import os
import signal
import socket
import sys
import threading

from nx_27017.handler import NeoSQLiteHandler
from nx_27017.server import handle_client_threaded

PORT = 27017
ADVICE = b"It looks like you are trying to access MongoDB over HTTP on the native driver port.\n"
METHODS = (b"GET ", b"HEAD", b"POST", b"PUT ")


def serve(client, handler):
    try:
        start = client.recv(4, socket.MSG_PEEK)
        if start in METHODS:
            with client:
                client.recv(65536)
                head = "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
                client.sendall((head % len(ADVICE)).encode() + ADVICE)
            return
    except OSError:
        client.close()
        return
    handle_client_threaded(client, handler)


def main():
    parser = argparse.ArgumentParser(prog="mongod", description=__doc__)
    parser.add_argument("--dbpath", default="/data/db")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--bind_ip", default="0.0.0.0")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    handler = NeoSQLiteHandler(os.path.join(arguments.dbpath, "docklab.db"))
    listener = socket.create_server((arguments.bind_ip, arguments.port), backlog=128)
    print("This is docklab's stand-in for MongoDB: its wire protocol over SQLite.", flush=True)
    print(f"waiting for connections on port {arguments.port}", flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, handler), daemon=True).start()


if __name__ == "__main__":
    main()
