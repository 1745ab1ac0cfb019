use docklab_api::{
    Filters,
    models::{
        EndpointPortConfig, EndpointSpec, EndpointSpecModeEnum, NodeState, SecretSpec, TaskSpecContainerSpecSecrets,
    },
};

use super::{Lab, SECOND, placement, service, template};

fn publish(port: i64) -> Option<EndpointSpec> {
    let ports = vec![EndpointPortConfig { target_port: Some(80), published_port: Some(port), ..Default::default() }];
    Some(EndpointSpec { ports: Some(ports), ..EndpointSpec::default() })
}

#[test]
fn refusals_use_dockers_words() {
    let mut lab = Lab::new(2);
    let mut web = service("web", "nginx", 1);
    web.endpoint_spec = publish(8080);
    let id = lab.create(web.clone());
    let mut refuse = |spec| lab.manager.create_service(lab.now, spec).unwrap_err().to_string();
    assert_eq!(
        refuse(web.clone()),
        "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists"
    );
    let mut other = service("other", "nginx", 1);
    other.endpoint_spec = publish(8080);
    assert_eq!(
        refuse(other.clone()),
        format!(
            "rpc error: code = InvalidArgument desc = port '8080' is already in use by service 'web' ({id}) as an ingress port"
        )
    );
    other.endpoint_spec = publish(8081);
    if let Some(endpoint) = &mut other.endpoint_spec {
        endpoint.mode = Some(EndpointSpecModeEnum::DNSRR);
    }
    assert_eq!(
        refuse(other),
        "rpc error: code = InvalidArgument desc = EndpointSpec: port published with ingress mode can't be used with dnsrr mode"
    );
    let mut bad = service("bad", "nginx", 1);
    placement(&mut bad).constraints = Some(vec!["node.role".into()]);
    assert_eq!(refuse(bad), "rpc error: code = InvalidArgument desc = constraint expected one operator from ==, !=");
    assert_eq!(lab.manager.inspect_service("nosuch").unwrap_err().to_string(), "service nosuch not found");
}

#[test]
fn the_last_manager_stays_and_ready_nodes_are_not_removed() {
    let mut lab = Lab::new(2);
    let node = lab.manager.find_node("n1").unwrap().clone();
    let mut spec = node.spec.clone();
    spec.role = Some(docklab_api::models::NodeSpecRoleEnum::WORKER);
    let error = lab.manager.update_node(lab.now, "n1", node.meta.version, spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm"
    );
    let id = lab.manager.find_node("n2").unwrap().id.clone();
    let error = lab.manager.remove_node(lab.now, "n2", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("rpc error: code = FailedPrecondition desc = node {id} is not down and can't be removed")
    );
    lab.kill("n2");
    lab.pass(20 * SECOND);
    assert!(lab.manager.remove_node(lab.now, "n2", false).is_ok());
}

#[test]
fn tokens_admit_only_while_they_are_valid() {
    let mut lab = Lab::new(1);
    let cluster = lab.manager.store().cluster.clone().unwrap();
    let token = cluster.token(false);
    let parts: Vec<&str> = token.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[1], parts[2].len(), parts[3].len()), (4, "SWMTKN", "1", 50, 25));
    let rotate = crate::TokenRotation { worker: true, manager: false };
    lab.manager.update_swarm(lab.now, cluster.meta.version, cluster.spec.clone(), rotate).unwrap();
    let error = lab.manager.join(lab.now, &token, super::description("n2"), "10.0.1.2").unwrap_err();
    assert_eq!(
        error.to_string(),
        "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster"
    );
}

#[test]
fn a_node_without_heartbeat_is_down_and_its_session_is_over() {
    let mut lab = Lab::new(2);
    let (id, session) = lab.alive.get("n2").cloned().unwrap();
    lab.kill("n2");
    lab.pass(13 * SECOND);
    assert_eq!(lab.manager.find_node("n2").unwrap().state, NodeState::READY);
    lab.pass(4 * SECOND);
    let node = lab.manager.find_node("n2").unwrap();
    assert_eq!((node.state, node.message.as_str()), (NodeState::DOWN, "heartbeat failure"));
    assert!(lab.manager.heartbeat(lab.now, &id, &session).is_err());
}

#[test]
fn a_fourth_registration_in_eight_seconds_is_refused() {
    let mut lab = Lab::new(1);
    lab.pass(9 * SECOND);
    let id = lab.alive["n1"].0.clone();
    let secret = lab.manager.node_secret(&id).unwrap();
    let mut register = || lab.manager.register(lab.now, &id, &secret, super::description("n1"), "10.0.1.1");
    assert!((0..3).all(|_| register().is_ok()));
    assert!(register().is_err());
}

#[test]
fn a_secret_in_use_cannot_be_removed() {
    let mut lab = Lab::new(1);
    let spec = SecretSpec { name: Some("key".into()), data: Some("c2VjcmV0".into()), ..SecretSpec::default() };
    let id = lab.manager.create_secret(lab.now, spec).unwrap();
    let mut web = service("web", "nginx", 1);
    template(&mut web).container_spec.get_or_insert_default().secrets = Some(vec![TaskSpecContainerSpecSecrets {
        secret_id: Some(id.clone()),
        secret_name: Some("key".into()),
        ..TaskSpecContainerSpecSecrets::default()
    }]);
    lab.create(web);
    assert_eq!(
        lab.manager.remove_secret(lab.now, "key").unwrap_err().to_string(),
        "rpc error: code = InvalidArgument desc = secret 'key' is in use by the following service: web"
    );
    assert_eq!(lab.manager.inspect_secret(&id).unwrap().spec.unwrap().data, None);
    lab.manager.remove_service(lab.now, "web").unwrap();
    assert!(lab.manager.remove_secret(lab.now, "key").is_ok());
}

#[test]
fn published_ports_get_a_virtual_address_and_running_tasks_behind_it() {
    let mut lab = Lab::new(3);
    let mut web = service("web", "nginx", 2);
    web.endpoint_spec = publish(8080);
    lab.create(web);
    let shown = lab.manager.inspect_service("web").unwrap();
    let address = shown.endpoint.unwrap().virtual_ips.unwrap()[0].addr.clone().unwrap();
    assert!(address.starts_with("10.0.0.") && address.ends_with("/24"), "{address}");
    lab.revive("n2");
    lab.manager.step(lab.now);
    let messages = lab.manager.take_messages();
    let duty = messages.iter().find_map(|(_, message)| match message {
        crate::FromManager::Assignments(duty) => Some(duty),
        _ => None,
    });
    let mesh = &duty.unwrap().mesh;
    assert_eq!((mesh.len(), mesh[0].port, mesh[0].backends.len()), (1, 8080, 2));
    let listed = lab.manager.list_services(&Filters::new(), true);
    let status = listed[0].service_status.clone().unwrap();
    assert_eq!((status.running_tasks, status.desired_tasks), (Some(2), Some(2)));
}
