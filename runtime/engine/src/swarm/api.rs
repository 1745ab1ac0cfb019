use std::time::Duration;

use async_trait::async_trait;
use docklab_api::{
    ApiError, ApiResult, Filters, ListServices, Logs, OutputStream, RaftStatus, SwarmApi, UpdateService, UpdateSwarm,
    models::{
        AuthConfig, Config, ConfigSpec, Node, NodeSpec, Reachability, Secret, SecretSpec, Service,
        ServiceCreateResponse, ServiceSpec, ServiceUpdateResponse, Swarm, SwarmInitRequest, SwarmJoinRequest,
        SwarmSpec, Task, UnlockKeyResponse,
    },
};
use docklab_swarm::{Call, TokenRotation};
use futures::{StreamExt as _, stream::BoxStream};

use super::{
    Engine, joining,
    membership::{Membership, NodeRecord},
    no_swarm,
};

use crate::names;

const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

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
    async fn start_swarm(&self, body: SwarmInitRequest) -> ApiResult<String> {
        let address = self.advertise_address(body.advertise_addr.as_deref().unwrap_or("")).await?.to_string();
        let pools = body.default_addr_pool.unwrap_or_default();
        let (manager, record) =
            self.new_swarm(body.spec.unwrap_or_default(), &address, pools, body.subnet_size.filter(|size| *size != 0))?;
        let node = record.node.clone();
        let membership = self.enter(record, Some(manager)).await?;
        self.wait_to_lead(&membership).await;
        Ok(node)
    }

    /// `docker swarm init --force-new-cluster`: this manager goes on without the others.
    async fn force_new_cluster(&self, membership: &Membership) -> ApiResult<String> {
        let record = membership.record();
        let Some(raft) = record.raft else {
            return Err(ApiError::unavailable("--force-new-cluster can only be used on a manager of the swarm"));
        };
        self.stop_member(membership).await;
        let manager = self.lone_manager(raft, &record.node, &record.address).await?;
        let managers = vec![(record.node.clone(), format!("{}:{}", record.address, super::PORT))];
        let record = NodeRecord { managers, ..record };
        let node = record.node.clone();
        let membership = self.enter(record, Some(manager)).await?;
        self.wait_to_lead(&membership).await;
        Ok(node)
    }

    async fn wait_to_lead(&self, membership: &Membership) {
        if let Some(manager) = membership.manager() {
            self.wait_for_manager(&manager, joining::TIMEOUT, |member| member.manager().is_some()).await;
        }
    }

    /// Ends what a membership runs; its records stay. Docker, too, waits for the tasks; what takes longer ends by itself.
    async fn stop_member(&self, membership: &Membership) {
        membership.end();
        self.set_membership(None);
        let mut ended = membership.ended();
        let ended = Box::pin(async move { ended.wait_for(|ended| *ended).await.is_ok() });
        futures::future::select(ended, self.host.sleep(LEAVE_TIMEOUT)).await;
    }

    /// What `docker swarm leave` says on a manager that is not forced.
    async fn refuse_to_leave(&self) -> ApiError {
        let mut text =
            "You are attempting to leave the swarm on a node that is participating as a manager. ".to_owned();
        let nodes = self.ask::<Vec<Node>>(Call::ListNodes(Filters::new())).await.unwrap_or_default();
        let managers = nodes.iter().filter_map(|node| node.manager_status.as_ref());
        let (reachable, unreachable): (Vec<_>, Vec<_>) =
            managers.partition(|status| status.reachability == Some(Reachability::REACHABLE));
        let (reachable, unreachable) = (reachable.len(), unreachable.len());
        if reachable > 0 && reachable.saturating_sub(2) <= unreachable {
            if reachable == 1 && unreachable == 0 {
                text.push_str(
                    "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.",
                );
                return ApiError::unavailable(text);
            }
            text.push_str(&format!(
                "Removing this node leaves {} managers out of {}. Without a Raft quorum your swarm will be inaccessible. ",
                reachable - 1,
                reachable + unreachable
            ));
        }
        text.push_str(
            "The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use \
             `--force` to suppress this message.",
        );
        ApiError::unavailable(text)
    }
}

#[async_trait]
impl SwarmApi for Engine {
    async fn inspect_swarm(&self) -> ApiResult<Swarm> {
        self.ask(Call::InspectSwarm).await
    }

    async fn init_swarm(&self, body: SwarmInitRequest) -> ApiResult<String> {
        let _changing = self.swarm.changing.lock().await;
        if let Some(membership) = self.membership() {
            if body.force_new_cluster == Some(true) {
                return self.force_new_cluster(&membership).await;
            }
            return Err(in_swarm());
        }
        if self.is_joining() {
            return Err(in_swarm());
        }
        if body.spec.as_ref().and_then(|spec| spec.encryption_config.as_ref()?.auto_lock_managers) == Some(true) {
            return Err(ApiError::not_implemented("autolock is not available: the swarm's store is not encrypted"));
        }
        self.start_swarm(body).await
    }

    async fn join_swarm(&self, body: SwarmJoinRequest) -> ApiResult<()> {
        let _changing = self.swarm.changing.lock().await;
        if self.membership().is_some() || self.is_joining() {
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
        self.join(body.remote_addrs.unwrap_or_default(), token, address).await
    }

    async fn leave_swarm(&self, force: bool) -> ApiResult<()> {
        let _changing = self.swarm.changing.lock().await;
        if self.stop_joining() {
            return Ok(());
        }
        let membership = self.membership().ok_or_else(|| ApiError::unavailable("This node is not part of a swarm"))?;
        if let Some(manager) = membership.manager() {
            if !force {
                return Err(self.refuse_to_leave().await);
            }
            // The others need not wait until they miss their leader.
            if manager.with(|member| member.hand_over()) {
                self.wait_for_manager(&manager, HAND_OVER_TIMEOUT, |member| !member.is_leader()).await;
            }
        }
        self.stop_member(&membership).await;
        self.forget_membership().await
    }

    async fn update_swarm(&self, options: UpdateSwarm, spec: SwarmSpec) -> ApiResult<()> {
        if spec.encryption_config.as_ref().and_then(|config| config.auto_lock_managers) == Some(true) {
            return Err(ApiError::not_implemented("autolock is not available: the swarm's store is not encrypted"));
        }
        let rotate = TokenRotation { worker: options.rotate_worker_token, manager: options.rotate_manager_token };
        self.ask(Call::UpdateSwarm { version: options.version, spec, rotate }).await
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
        self.ask(Call::ListNodes(filters)).await
    }
    async fn inspect_node(&self, id: &str) -> ApiResult<Node> {
        self.ask(Call::InspectNode(id.to_owned())).await
    }
    async fn update_node(&self, id: &str, version: u64, spec: NodeSpec) -> ApiResult<()> {
        self.ask(Call::UpdateNode { name: id.to_owned(), version, spec }).await
    }
    async fn remove_node(&self, id: &str, force: bool) -> ApiResult<()> {
        self.ask(Call::RemoveNode { name: id.to_owned(), force }).await
    }

    async fn list_services(&self, options: ListServices) -> ApiResult<Vec<Service>> {
        options.filters.accept(&["name", "id", "label", "mode", "runtime"])?;
        self.ask(Call::ListServices { filters: options.filters, status: options.status }).await
    }
    async fn inspect_service(&self, id: &str, insert_defaults: bool) -> ApiResult<Service> {
        let mut service: Service = self.ask(Call::InspectService(id.to_owned())).await?;
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
        let id = self.ask(Call::CreateService(spec)).await?;
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
        self.ask::<()>(Call::UpdateService { name: id.to_owned(), version: options.version, spec, rollback }).await?;
        Ok(ServiceUpdateResponse { warnings: None })
    }
    async fn remove_service(&self, id: &str) -> ApiResult<()> {
        self.ask(Call::RemoveService(id.to_owned())).await
    }
    async fn service_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        self.cluster_logs(Some(id.to_owned()), None, options).await
    }

    async fn list_tasks(&self, filters: Filters) -> ApiResult<Vec<Task>> {
        filters.accept(&["desired-state", "id", "label", "name", "node", "service", "_up-to-date", "runtime"])?;
        self.ask(Call::ListTasks(filters)).await
    }
    async fn inspect_task(&self, id: &str) -> ApiResult<Task> {
        self.ask(Call::InspectTask(id.to_owned())).await
    }
    async fn task_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        self.cluster_logs(None, Some(id.to_owned()), options).await
    }

    async fn list_secrets(&self, filters: Filters) -> ApiResult<Vec<Secret>> {
        filters.accept(&["id", "label", "name", "names"])?;
        self.ask(Call::ListSecrets(filters)).await
    }
    async fn create_secret(&self, spec: SecretSpec) -> ApiResult<String> {
        self.ask(Call::CreateSecret(spec)).await
    }
    async fn inspect_secret(&self, id: &str) -> ApiResult<Secret> {
        self.ask(Call::InspectSecret(id.to_owned())).await
    }
    async fn update_secret(&self, id: &str, version: u64, spec: SecretSpec) -> ApiResult<()> {
        self.ask(Call::UpdateSecret { name: id.to_owned(), version, spec }).await
    }
    async fn remove_secret(&self, id: &str) -> ApiResult<()> {
        self.ask(Call::RemoveSecret(id.to_owned())).await
    }
    async fn list_configs(&self, filters: Filters) -> ApiResult<Vec<Config>> {
        filters.accept(&["id", "label", "name", "names"])?;
        self.ask(Call::ListConfigs(filters)).await
    }
    async fn create_config(&self, spec: ConfigSpec) -> ApiResult<String> {
        self.ask(Call::CreateConfig(spec)).await
    }
    async fn inspect_config(&self, id: &str) -> ApiResult<Config> {
        self.ask(Call::InspectConfig(id.to_owned())).await
    }
    async fn update_config(&self, id: &str, version: u64, spec: ConfigSpec) -> ApiResult<()> {
        self.ask(Call::UpdateConfig { name: id.to_owned(), version, spec }).await
    }
    async fn remove_config(&self, id: &str) -> ApiResult<()> {
        self.ask(Call::RemoveConfig(id.to_owned())).await
    }

    async fn raft_status(&self) -> ApiResult<RaftStatus> {
        Ok(self.manager()?.1.status())
    }
    async fn swarm_changes(&self) -> ApiResult<BoxStream<'static, ApiResult<u64>>> {
        Ok(self.manager()?.1.versions().map(Ok).boxed())
    }
}
