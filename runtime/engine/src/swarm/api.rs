use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use docklab_api::{
    ApiError, ApiResult, Filters, ListServices, Logs, OutputStream, RaftStatus, SwarmApi, UpdateService, UpdateSwarm,
    models::{
        AuthConfig, Config, ConfigSpec, Node, NodeSpec, Secret, SecretSpec, Service, ServiceCreateResponse,
        ServiceSpec, ServiceUpdateResponse, Swarm, SwarmInitRequest, SwarmJoinRequest, SwarmSpec, Task,
        UnlockKeyResponse,
    },
};
use docklab_swarm::{ControlResult, Manager, TokenRotation};
use futures::{StreamExt as _, future::Either, stream::BoxStream};
use jiff::Timestamp;

use super::{
    ControlResultExt, Engine,
    leader::Leader,
    membership::{Membership, NodeRecord},
};

use crate::names;

const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

fn no_swarm() -> ApiError {
    ApiError::unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm \
         and try again.",
    )
}

fn in_swarm() -> ApiError {
    ApiError::unavailable(
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.",
    )
}

/// `SWMTKN-1-` and two numbers of fifty and twenty-five digits.
fn is_token(token: &str) -> bool {
    let parts: Vec<&str> = token.split('-').collect();
    let digits = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    matches!(parts.as_slice(), ["SWMTKN", "1", root, secret] if digits(root, 50) && digits(secret, 25))
}

impl Engine {
    fn manager(&self) -> ApiResult<(Arc<Membership>, Arc<Leader>)> {
        let membership = self.membership().ok_or_else(no_swarm)?;
        let leader = membership.leader.clone().ok_or_else(|| {
            ApiError::unavailable(
                "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this \
                 command on a manager node or promote the current node to a manager.",
            )
        })?;
        Ok((membership, leader))
    }

    fn read<T>(&self, read: impl FnOnce(&Manager) -> ControlResult<T>) -> ApiResult<T> {
        self.manager()?.1.read(read).api()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Manager, Timestamp) -> ControlResult<T>) -> ApiResult<T> {
        let now = self.host.now();
        self.manager()?.1.change(now, |manager| change(manager, now)).api()
    }

    async fn become_manager(&self, body: SwarmInitRequest) -> ApiResult<String> {
        let address = self.advertise_address(body.advertise_addr.as_deref().unwrap_or("")).await?.to_string();
        let pools = body.default_addr_pool.unwrap_or_default();
        let (leader, node, secret) = self.make_leader(
            body.spec.unwrap_or_default(),
            &address,
            pools,
            body.subnet_size.filter(|size| *size != 0),
        );
        let managers = vec![(node.clone(), format!("{address}:{}", super::PORT))];
        let record = NodeRecord { node: node.clone(), secret, manager: true, address, managers };
        self.enter(record, Some(leader)).await?;
        Ok(node)
    }
}

#[async_trait]
impl SwarmApi for Engine {
    async fn inspect_swarm(&self) -> ApiResult<Swarm> {
        self.read(|manager| Ok(manager.swarm()))
    }

    async fn init_swarm(&self, body: SwarmInitRequest) -> ApiResult<String> {
        let _changing = self.swarm.changing.lock().await;
        if self.membership().is_some() && body.force_new_cluster != Some(true) {
            return Err(in_swarm());
        }
        if body.force_new_cluster == Some(true) {
            return Err(ApiError::not_implemented(
                "--force-new-cluster is for swarms that lost their quorum; this one has a single manager and needs none",
            ));
        }
        if body.spec.as_ref().and_then(|spec| spec.encryption_config.as_ref()?.auto_lock_managers) == Some(true) {
            return Err(ApiError::not_implemented("autolock is not available: the swarm's store is not encrypted"));
        }
        self.become_manager(body).await
    }

    async fn join_swarm(&self, body: SwarmJoinRequest) -> ApiResult<()> {
        let _changing = self.swarm.changing.lock().await;
        if self.membership().is_some() {
            return Err(in_swarm());
        }
        let token = body.join_token.unwrap_or_default();
        if token.is_empty() {
            return Err(ApiError::invalid(
                "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster",
            ));
        }
        if !is_token(&token) {
            return Err(ApiError::invalid("invalid join token"));
        }
        let address = self.advertise_address(body.advertise_addr.as_deref().unwrap_or("")).await?;
        let remotes = body.remote_addrs.unwrap_or_default();
        let mut last = ApiError::invalid("at least 1 RemoteAddr is required to join");
        for remote in remotes {
            let Some(manager) = self.manager_address(&remote).await else {
                last = ApiError::invalid(format!("invalid remote address {remote}"));
                continue;
            };
            let asking = Box::pin(self.ask_to_join(manager, &token));
            match futures::future::select(asking, self.host.sleep(JOIN_TIMEOUT)).await {
                Either::Left((Ok((node, secret, manager_id)), _)) => {
                    let managers = vec![(manager_id, manager.to_string())];
                    let record = NodeRecord { node, secret, manager: false, address: address.to_string(), managers };
                    return self.enter(record, None).await;
                }
                Either::Left((Err(error), _)) => last = error,
                Either::Right(_) => {
                    last = ApiError::unavailable(format!(
                        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp \
                         {manager}: i/o timeout\""
                    ));
                }
            }
        }
        Err(last)
    }

    async fn leave_swarm(&self, force: bool) -> ApiResult<()> {
        let _changing = self.swarm.changing.lock().await;
        let membership = self.membership().ok_or_else(|| ApiError::unavailable("This node is not part of a swarm"))?;
        if membership.leader.is_some() && !force {
            return Err(ApiError::unavailable(
                "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager \
                 erases all current state of the swarm. Use `--force` to ignore this message.",
            ));
        }
        membership.end();
        if let Some(leader) = &membership.leader {
            leader.wake();
        }
        self.set_membership(None);
        self.forget_membership().await?;
        // Docker, too, answers when the tasks are gone; what takes longer ends by itself.
        let mut ended = membership.ended();
        let ended = Box::pin(async move { ended.wait_for(|ended| *ended).await.is_ok() });
        futures::future::select(ended, self.host.sleep(LEAVE_TIMEOUT)).await;
        Ok(())
    }

    async fn update_swarm(&self, options: UpdateSwarm, spec: SwarmSpec) -> ApiResult<()> {
        if spec.encryption_config.as_ref().and_then(|config| config.auto_lock_managers) == Some(true) {
            return Err(ApiError::not_implemented("autolock is not available: the swarm's store is not encrypted"));
        }
        let rotate = TokenRotation { worker: options.rotate_worker_token, manager: options.rotate_manager_token };
        self.change(|manager, now| manager.update_swarm(now, options.version, spec, rotate))
    }

    async fn swarm_unlock_key(&self) -> ApiResult<UnlockKeyResponse> {
        self.manager()?;
        // As Docker answers where autolock is off.
        Ok(UnlockKeyResponse { unlock_key: Some(String::new()) })
    }

    async fn unlock_swarm(&self, _key: String) -> ApiResult<()> {
        if self.membership().is_none() {
            return Err(no_swarm());
        }
        Err(ApiError::conflict("swarm is not locked"))
    }

    async fn list_nodes(&self, filters: Filters) -> ApiResult<Vec<Node>> {
        filters.accept(&["name", "id", "label", "role", "membership", "node.label"])?;
        self.read(|manager| Ok(manager.list_nodes(&filters)))
    }
    async fn inspect_node(&self, id: &str) -> ApiResult<Node> {
        self.read(|manager| manager.inspect_node(id))
    }
    async fn update_node(&self, id: &str, version: u64, spec: NodeSpec) -> ApiResult<()> {
        self.change(|manager, now| manager.update_node(now, id, version, spec))
    }
    async fn remove_node(&self, id: &str, force: bool) -> ApiResult<()> {
        self.change(|manager, now| manager.remove_node(now, id, force))
    }

    async fn list_services(&self, options: ListServices) -> ApiResult<Vec<Service>> {
        options.filters.accept(&["name", "id", "label", "mode", "runtime"])?;
        self.read(|manager| Ok(manager.list_services(&options.filters, options.status)))
    }
    async fn inspect_service(&self, id: &str, insert_defaults: bool) -> ApiResult<Service> {
        let mut service = self.read(|manager| manager.inspect_service(id))?;
        if insert_defaults && let Some(spec) = &mut service.spec {
            docklab_swarm::insert_defaults(spec);
        }
        Ok(service)
    }
    async fn create_service(
        &self,
        mut spec: ServiceSpec,
        _auth: Option<AuthConfig>,
    ) -> ApiResult<ServiceCreateResponse> {
        if spec.name.as_deref().unwrap_or("").is_empty() {
            spec.name = Some(names::random(&*self.host, false));
        }
        let id = self.change(|manager, now| manager.create_service(now, spec))?;
        Ok(ServiceCreateResponse { id: Some(id), warnings: None })
    }
    async fn update_service(
        &self,
        id: &str,
        options: UpdateService,
        spec: ServiceSpec,
    ) -> ApiResult<ServiceUpdateResponse> {
        let rollback = match options.rollback.as_deref() {
            None | Some("") => false,
            Some("previous") => true,
            Some(other) => return Err(ApiError::invalid(format!("unrecognized rollback option {other}"))),
        };
        self.change(|manager, now| manager.update_service(now, id, options.version, spec, rollback))?;
        Ok(ServiceUpdateResponse { warnings: None })
    }
    async fn remove_service(&self, id: &str) -> ApiResult<()> {
        self.change(|manager, now| manager.remove_service(now, id))
    }
    async fn service_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        let (membership, leader) = self.manager()?;
        let tasks = leader
            .read(|manager| {
                let service = manager.find_service(id)?.id.clone();
                Ok(manager.store().tasks_of(&service).filter(|task| !task.node.is_empty()).cloned().collect())
            })
            .api()?;
        self.logs_of_tasks(&leader, &membership.record().node, tasks, &options)
    }

    async fn list_tasks(&self, filters: Filters) -> ApiResult<Vec<Task>> {
        filters.accept(&["desired-state", "id", "label", "name", "node", "service", "_up-to-date", "runtime"])?;
        self.read(|manager| Ok(manager.list_tasks(&filters)))
    }
    async fn inspect_task(&self, id: &str) -> ApiResult<Task> {
        self.read(|manager| manager.inspect_task(id))
    }
    async fn task_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        let (membership, leader) = self.manager()?;
        let task = leader.read(|manager| manager.find_task(id).cloned()).api()?;
        self.logs_of_tasks(&leader, &membership.record().node, vec![task], &options)
    }

    async fn list_secrets(&self, filters: Filters) -> ApiResult<Vec<Secret>> {
        filters.accept(&["id", "label", "name", "names"])?;
        self.read(|manager| Ok(manager.list_secrets(&filters)))
    }
    async fn create_secret(&self, spec: SecretSpec) -> ApiResult<String> {
        self.change(|manager, now| manager.create_secret(now, spec))
    }
    async fn inspect_secret(&self, id: &str) -> ApiResult<Secret> {
        self.read(|manager| manager.inspect_secret(id))
    }
    async fn update_secret(&self, id: &str, version: u64, spec: SecretSpec) -> ApiResult<()> {
        self.change(|manager, now| manager.update_secret(now, id, version, spec))
    }
    async fn remove_secret(&self, id: &str) -> ApiResult<()> {
        self.change(|manager, now| manager.remove_secret(now, id))
    }
    async fn list_configs(&self, filters: Filters) -> ApiResult<Vec<Config>> {
        filters.accept(&["id", "label", "name", "names"])?;
        self.read(|manager| Ok(manager.list_configs(&filters)))
    }
    async fn create_config(&self, spec: ConfigSpec) -> ApiResult<String> {
        self.change(|manager, now| manager.create_config(now, spec))
    }
    async fn inspect_config(&self, id: &str) -> ApiResult<Config> {
        self.read(|manager| manager.inspect_config(id))
    }
    async fn update_config(&self, id: &str, version: u64, spec: ConfigSpec) -> ApiResult<()> {
        self.change(|manager, now| manager.update_config(now, id, version, spec))
    }
    async fn remove_config(&self, id: &str) -> ApiResult<()> {
        self.change(|manager, now| manager.remove_config(now, id))
    }

    async fn raft_status(&self) -> ApiResult<RaftStatus> {
        self.manager()?;
        Err(ApiError::not_implemented("this swarm has a single manager: there is no raft group to show"))
    }
    async fn swarm_changes(&self) -> ApiResult<BoxStream<'static, ApiResult<u64>>> {
        Ok(self.manager()?.1.versions().map(Ok).boxed())
    }
}
