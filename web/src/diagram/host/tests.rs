use std::rc::Rc;

use yew::LocalServerRenderer;

use super::{HostDiagram, HostDiagramProps, HostTable, table::HostTableProps};
use crate::observe::{ContainerView, HostFacts, NetworkView, NodeView};

fn node() -> Rc<NodeView> {
    let container = |json: &str| ContainerView::of(&serde_json::from_str(json).expect("an inspect answer"));
    Rc::new(NodeView {
        name: "node1".into(),
        host: HostFacts {
            operating_system: "Debian 12".into(),
            kernel: "6.18".into(),
            cpus: 2,
            ..HostFacts::default()
        },
        containers: vec![
            container(
                r#"{"Id":"1111111111112222","Name":"/web","Created":"1","Path":"nginx","Args":["-g","daemon off;"],
                "Config":{"Image":"nginx"},"State":{"Status":"running","Running":true,"Pid":42},
                "NetworkSettings":{"Ports":{"80/tcp":[{"HostPort":"8080"}]},"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}}}"#,
            ),
            container(
                r#"{"Id":"3333333333334444","Name":"/old","Created":"2","Path":"top","Args":[],
                "Config":{"Image":"ubuntu"},"State":{"Status":"exited","ExitCode":137},"HostConfig":{"NetworkMode":"host"}}"#,
            ),
        ],
        images: Vec::new(),
        networks: vec![NetworkView {
            id: "b".into(),
            name: "bridge".into(),
            driver: "bridge".into(),
            subnet: "172.17.0.0/16".into(),
        }],
    })
}

async fn diagram(view: Rc<NodeView>) -> String {
    let props = HostDiagramProps { view, selected: None, on_select: yew::Callback::noop() };
    LocalServerRenderer::<HostDiagram>::with_props(props).hydratable(false).render().await
}

/// The texts of a drawing, one a line.
fn texts(html: &str) -> String {
    let texts: Vec<&str> = html
        .split('>')
        .filter_map(|part| part.split('<').next())
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect();
    texts.join("\n")
}

#[tokio::test(flavor = "current_thread")]
async fn the_diagram_shows_state_process_port_and_kernel() {
    insta::assert_snapshot!(texts(&diagram(node()).await), @r"
    node1
    Debian 12
    network bridge  172.17.0.0/16
    Images on disk: none yet
    Linux kernel 6.18
    one kernel for all of them · 2 CPUs · 0 B memory
    :8080
    Container web, image nginx, Running, PID 1 is nginx -g daemon off;, host port 8080 to container port 80
    web
    Running
    nginx
    111111111111
    PID 1
    nginx -g daemon o…
    host 42
    its own pid namespace
    pid
    its own mnt namespace
    mnt
    its own net namespace
    net
    its own uts namespace
    uts
    its own ipc namespace
    ipc
    its own cgroup namespace
    cgroup
    172.17.0.2   8080 → 80
    Container old, image ubuntu, Exited (137), PID 1 is top
    old
    Exited (137)
    ubuntu
    333333333333
    PID 1
    top
    its own pid namespace
    pid
    its own mnt namespace
    mnt
    the host's net namespace
    net
    its own uts namespace
    uts
    its own ipc namespace
    ipc
    its own cgroup namespace
    cgroup
    ");
}

#[tokio::test(flavor = "current_thread")]
async fn every_container_is_a_button_with_a_spoken_name() {
    let html = diagram(node()).await;
    let spoken =
        "Container web, image nginx, Running, PID 1 is nginx -g daemon off;, host port 8080 to container port 80";
    assert!(html.contains(&format!("<title>{spoken}</title>")), "{html}");
    assert_eq!(html.matches("role=\"button\" tabindex=\"0\"").count(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn an_empty_host_says_what_will_appear() {
    let view = NodeView { containers: Vec::new(), ..(*node()).clone() };
    assert!(diagram(Rc::new(view)).await.contains("What you start in a terminal appears here."));
}

#[tokio::test(flavor = "current_thread")]
async fn the_table_says_the_same() {
    let props = HostTableProps { view: node(), on_select: yew::Callback::noop() };
    let html = LocalServerRenderer::<HostTable>::with_props(props).hydratable(false).render().await;
    insta::assert_snapshot!(texts(&html), @r"
    node1 runs Debian 12 with Linux kernel 6.18, shared by all containers.
    Containers on node1
    Name
    Image
    State
    PID 1
    Host PID
    Ports
    Address
    Shared namespaces
    web
    nginx
    Running
    nginx -g daemon off;
    42
    8080 to 80/tcp
    172.17.0.2
    none
    old
    ubuntu
    Exited (137)
    top
    –
    –
    net
    ");
}
