//! An OCI distribution registry, sans-IO: requests in, responses out, over a storage trait.
