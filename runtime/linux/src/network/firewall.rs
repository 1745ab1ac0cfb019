//! The way out: one nftables table of ours, rewritten as a whole at every change. No rule of anybody else is touched.

use std::{
    fs,
    io::{self, Write},
    process::{Command, Stdio},
};

use docklab_host::{HostError, HostResult, NetworkDriver};

use super::Network;

/// What the table must hold for these networks.
fn ruleset(table: &str, networks: &[&Network]) -> String {
    // Adding before deleting makes deletion of a missing table no error.
    let mut text = format!("table inet {table}\ndelete table inet {table}\n");
    if networks.is_empty() {
        return text;
    }
    text.push_str(&format!("table inet {table} {{\n\tchain out {{\n\t\ttype nat hook postrouting priority srcnat;\n"));
    for network in
        networks.iter().filter(|network| !network.spec.internal && network.spec.driver == NetworkDriver::Bridge)
    {
        let family = if network.spec.gateway.is_ipv4() { "ip" } else { "ip6" };
        text.push_str(&format!(
            "\t\t{family} saddr {} oifname != \"{}\" masquerade\n",
            network.spec.subnet, network.bridge
        ));
        if let Some(ipv6) = &network.spec.ipv6 {
            text.push_str(&format!("\t\tip6 saddr {} oifname != \"{}\" masquerade\n", ipv6.subnet, network.bridge));
        }
    }
    text.push_str("\t}\n\tchain between {\n\t\ttype filter hook forward priority filter;\n");
    for network in networks {
        let others: Vec<String> = networks
            .iter()
            .filter(|other| other.bridge != network.bridge)
            .map(|other| format!("\"{}\"", other.bridge))
            .collect();
        if network.spec.internal {
            text.push_str(&format!("\t\tiifname \"{0}\" oifname != \"{0}\" drop\n", network.bridge));
            text.push_str(&format!("\t\toifname \"{0}\" iifname != \"{0}\" drop\n", network.bridge));
        } else if !others.is_empty() {
            text.push_str(&format!("\t\tiifname \"{}\" oifname {{ {} }} drop\n", network.bridge, others.join(", ")));
        }
    }
    text.push_str("\t}\n}\n");
    text
}

/// Makes the kernel's table agree with the networks. `Unsupported` where there is no `nft`.
pub(super) fn apply(table: &str, networks: &[&Network]) -> HostResult<()> {
    if !networks.is_empty() {
        // A machine that forwards already needs no write, which may be forbidden.
        let path = "/proc/sys/net/ipv4/ip_forward";
        if fs::read_to_string(path).is_ok_and(|value| value.trim() == "0") {
            fs::write(path, "1").map_err(|error| HostError::other("switch on IP forwarding", error))?;
        }
        let path = "/proc/sys/net/ipv6/conf/all/forwarding";
        let wanted = networks.iter().any(|network| network.spec.ipv6.is_some() && !network.spec.internal);
        if wanted && fs::read_to_string(path).is_ok_and(|value| value.trim() == "0") {
            fs::write(path, "1").map_err(|error| HostError::other("switch on IPv6 forwarding", error))?;
        }
    }
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => HostError::Unsupported(
            "containers have no way out of the machine: the program `nft` is missing (package nftables)".to_owned(),
        ),
        _ => HostError::other("run nft", error),
    };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(ruleset(table, networks).as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(HostError::Other(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
