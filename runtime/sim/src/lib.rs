//! A simulated host: scripted processes, layers as maps, virtual clock and network, a shell.
