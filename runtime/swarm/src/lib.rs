//! The cluster, sans-IO: store, orchestrators, scheduler, updater, dispatcher.
