use std::{sync::Arc, time::Duration};

use docklab_api::{
    ApiResult,
    models::{
        ContainerBlkioStatEntry, ContainerBlkioStats, ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats,
        ContainerNetworkStats, ContainerPidsStats, ContainerStatsResponse, ContainerStorageStats,
        ContainerThrottlingData,
    },
};
use docklab_host::Stats;
use futures::{StreamExt, stream, stream::BoxStream};
use jiff::Timestamp;

use super::Container;
use crate::{Engine, time};

const INTERVAL: Duration = Duration::from_secs(1);

fn cpu(sample: Option<&Stats>) -> ContainerCpuStats {
    let known = sample.cloned().unwrap_or_default();
    ContainerCpuStats {
        cpu_usage: Some(ContainerCpuUsage {
            total_usage: Some(known.cpu_total),
            percpu_usage: None,
            usage_in_kernelmode: Some(known.cpu_system),
            usage_in_usermode: Some(known.cpu_user),
        }),
        system_cpu_usage: sample.map(|sample| sample.machine_cpu_total),
        online_cpus: sample.map(|sample| sample.online_cpus),
        throttling_data: Some(ContainerThrottlingData {
            periods: Some(0),
            throttled_periods: Some(0),
            throttled_time: Some(0),
        }),
    }
}

fn block_io(sample: &Stats) -> ContainerBlkioStats {
    let entry = |op: &str, value| ContainerBlkioStatEntry {
        major: Some(0),
        minor: Some(0),
        op: Some(op.to_owned()),
        value: Some(value),
    };
    ContainerBlkioStats {
        io_service_bytes_recursive: Some(vec![entry("read", sample.block_read), entry("write", sample.block_written)]),
        ..ContainerBlkioStats::default()
    }
}

fn model(
    container: &Container,
    sample: Option<(Timestamp, Stats)>,
    before: Option<&(Timestamp, Stats)>,
) -> ContainerStatsResponse {
    let mut response = ContainerStatsResponse {
        name: Some(format!("/{}", container.name())),
        id: Some(container.id.clone()),
        read: Some(time::rfc3339(sample.as_ref().map(|(at, _)| *at))),
        preread: Some(time::rfc3339(before.map(|(at, _)| *at))),
        pids_stats: Some(ContainerPidsStats::default()),
        blkio_stats: Some(ContainerBlkioStats::default()),
        num_procs: Some(0),
        storage_stats: Some(ContainerStorageStats::default()),
        cpu_stats: Some(cpu(sample.as_ref().map(|(_, sample)| sample))),
        precpu_stats: Some(cpu(before.map(|(_, sample)| sample))),
        memory_stats: Some(ContainerMemoryStats::default()),
        networks: None,
    };
    if let Some((_, sample)) = sample {
        response.pids_stats = Some(ContainerPidsStats { current: Some(sample.pids), limit: None });
        response.blkio_stats = Some(block_io(&sample));
        response.memory_stats = Some(ContainerMemoryStats {
            usage: Some(sample.memory_usage),
            limit: Some(sample.memory_limit),
            // Both cgroup versions' names: clients subtract what they know from the usage.
            stats: Some(
                [("inactive_file", sample.memory_inactive_file), ("total_inactive_file", sample.memory_inactive_file)]
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            ),
            ..ContainerMemoryStats::default()
        });
        response.networks = Some(
            sample
                .networks
                .iter()
                .map(|(interface, [rx_bytes, rx_packets, tx_bytes, tx_packets])| {
                    let stats = ContainerNetworkStats {
                        rx_bytes: Some(*rx_bytes),
                        rx_packets: Some(*rx_packets),
                        rx_errors: Some(0),
                        rx_dropped: Some(0),
                        tx_bytes: Some(*tx_bytes),
                        tx_packets: Some(*tx_packets),
                        tx_errors: Some(0),
                        tx_dropped: Some(0),
                        endpoint_id: None,
                        instance_id: None,
                    };
                    (interface.clone(), stats)
                })
                .collect(),
        );
    }
    response
}

impl Engine {
    async fn sample(&self, container: &Container) -> Option<(Timestamp, Stats)> {
        container.process.borrow().as_ref()?;
        // A container that ends meanwhile shows zeros, as in Docker.
        let stats = self.host.stats(&container.id).await.ok()?;
        Some((self.host.now(), stats))
    }

    /// `docker stats`: one sample, or one a second until the stream is dropped or the container removed.
    pub(crate) async fn stats(
        &self,
        container: &Arc<Container>,
        stream: bool,
        one_shot: bool,
    ) -> ApiResult<BoxStream<'static, ApiResult<ContainerStatsResponse>>> {
        if !stream {
            let mut before = None;
            if !one_shot {
                before = self.sample(container).await;
                if before.is_some() {
                    self.host.sleep(INTERVAL).await;
                }
            }
            let now = self.sample(container).await;
            let response = model(container, now, before.as_ref());
            return Ok(stream::once(std::future::ready(Ok(response))).boxed());
        }
        let state = (self.clone(), Arc::clone(container), None, true);
        Ok(stream::unfold(state, |(engine, container, before, first)| async move {
            if !first {
                engine.host.sleep(INTERVAL).await;
            }
            if container.progress.borrow().removed {
                return None;
            }
            let now = engine.sample(&container).await;
            let response = model(&container, now.clone(), before.as_ref());
            Some((Ok(response), (engine, container, now, false)))
        })
        .boxed())
    }
}
