//! DockerApi over HTTP: the server on a unix socket or TCP, and the client.
