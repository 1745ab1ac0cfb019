//! The docker command line over any DockerApi: grammar, requests, rendering.
