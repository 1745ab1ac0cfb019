use docklab_api::{
    ContainerApi, NetworkApi,
    models::{
        ContainerCreateBody, EndpointSettings, HostConfig, NetworkConnectRequest, NetworkCreateRequest,
        NetworkDisconnectRequest,
    },
};

use super::{FakeHost, body, open, run};

fn request(name: &str) -> NetworkCreateRequest {
    NetworkCreateRequest { name: name.to_owned(), ..NetworkCreateRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn containers_on_a_user_network_have_addresses_and_names() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let network = engine.create_network(request("net1")).await.expect("created").id;
    let host_config = HostConfig { network_mode: Some("net1".to_owned()), ..HostConfig::default() };
    let id = run(&engine, "web", ContainerCreateBody { host_config: Some(host_config), ..body(&["sleep"]) }).await;
    let other = run(&engine, "other", body(&["sleep"])).await;
    let connect = NetworkConnectRequest {
        container: Some("other".to_owned()),
        endpoint_config: Some(EndpointSettings { aliases: Some(vec!["db".to_owned()]), ..EndpointSettings::default() }),
    };
    engine.connect_network("net1", connect).await.expect("connected");
    let names: Vec<String> = host.names.lock().expect("names")[&network]
        .iter()
        .map(|(name, addresses)| {
            format!("{name} {addresses:?}").replace(&id[..12], "<web>").replace(&other[..12], "<other>")
        })
        .collect();
    for expected in
        ["web [172.18.0.2]", "<web> [172.18.0.2]", "other [172.18.0.3]", "<other> [172.18.0.3]", "db [172.18.0.3]"]
    {
        assert!(names.iter().any(|name| name == expected), "{expected} in {names:?}");
    }
    let inspected = engine.inspect_network("net1", false, None).await.expect("inspect");
    let web = inspected.containers.and_then(|mut containers| containers.remove(&id)).expect("web");
    assert_eq!((web.name.as_deref(), web.ipv4_address.as_deref()), (Some("web"), Some("172.18.0.2/16")));
    let busy = engine.remove_network("net1").await.unwrap_err();
    assert!(
        busy.status == 403
            && busy.message.starts_with("error while removing network: network net1 has active endpoints (name:\""),
        "{busy}"
    );
    engine
        .disconnect_network("net1", NetworkDisconnectRequest { container: Some(other), force: None })
        .await
        .expect("disconnected");
    engine.kill_container("web", None).await.expect("killed");
    assert_eq!(engine.remove_network("net1").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn network_errors_in_dockers_words() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    engine.create_network(request("net1")).await.expect("created");
    let mut texts = Vec::new();
    for result in [
        engine.create_network(request("net1")).await.map(|_| ()),
        engine.create_network(request("bridge")).await.map(|_| ()),
        engine.remove_network("bridge").await,
        engine.remove_network("nosuch").await,
    ] {
        let error = result.unwrap_err();
        texts.push(format!("{} {}", error.status, error.message));
    }
    insta::assert_snapshot!(texts.join("\n"), @r"
    409 network with name net1 already exists
    403 operation is not permitted on predefined bridge network 
    403 bridge is a pre-defined network and cannot be removed
    404 network nosuch not found
    ");
    let list = engine.list_networks(docklab_api::Filters::default()).await.expect("list");
    let names: Vec<_> = list.iter().filter_map(|network| network.name.as_deref()).collect();
    assert_eq!(names, ["bridge", "host", "net1", "none"]);
}
