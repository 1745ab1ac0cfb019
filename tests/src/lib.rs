//! End to end: parity with Docker, browser, faults, clients.
