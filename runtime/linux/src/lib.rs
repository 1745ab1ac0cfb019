//! Host on Linux: namespaces, overlayfs, cgroups v1 and v2, netlink.
