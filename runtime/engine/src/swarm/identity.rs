//! This node's certificate, and what it makes of others'.

use std::{net::SocketAddr, sync::Arc};

use docklab_host::{HostResult, Identity, Judge, Link};
use docklab_swarm::{Holder, PrivateKey, certificates, verify, verify_by_digest};
use futures::stream::BoxStream;
use jiff::Timestamp;

use super::{
    Engine, PORT,
    membership::{Membership, NodeRecord},
};

impl NodeRecord {
    fn identity(&self) -> Option<Identity> {
        let mut chain = certificates(&self.certificate);
        chain.extend(certificates(&self.roots));
        let key = self.key.pkcs8().ok()?;
        (chain.len() > 1)
            .then(|| Identity { certificates: chain.into_iter().map(Into::into).collect(), key: key.into() })
    }

    /// What its own certificate says, while it is valid.
    pub(crate) fn holder(&self, now: Timestamp) -> Option<Holder> {
        verify(&certificates(&self.certificate), &self.roots, now).ok()
    }

    /// A new certificate is due: the role or the roots are others, or half of its time is over.
    pub(super) fn must_renew(&self, manager: bool, roots: &str, now: Timestamp) -> bool {
        let Some(holder) = self.holder(now) else { return true };
        let (from, to) = (holder.not_before.as_second(), holder.not_after.as_second());
        holder.manager != manager || self.roots != roots || now.as_second() > from + (to - from) / 2
    }
}

impl Engine {
    pub(super) fn new_key(&self) -> PrivateKey {
        PrivateKey::generate(|| {
            let mut bytes = [0; 32];
            self.host.random(&mut bytes);
            bytes
        })
    }

    /// Trusts nodes of this swarm.
    fn judge(&self, membership: Arc<Membership>) -> Judge {
        let host = self.host.clone();
        Arc::new(move |chain| {
            verify(chain, &membership.record().roots, host.now()).map(drop).map_err(|error| error.to_string())
        })
    }

    /// Who is at the other end of a link: `None` where the machine's links need no certificates.
    pub(super) fn holder_of(&self, membership: &Membership, link: &dyn Link) -> Option<Option<Holder>> {
        let chain = link.certificates()?;
        Some(verify(&chain, &membership.record().roots, self.host.now()).ok())
    }

    /// A link to a manager of this node's swarm.
    pub(super) async fn dial_manager(&self, address: SocketAddr) -> HostResult<Arc<dyn Link>> {
        match self.membership() {
            Some(membership) => {
                let identity = membership.record().identity();
                self.host.dial_secure(address, identity, self.judge(membership)).await
            }
            None => Err(docklab_host::HostError::Network("this node is not part of a swarm".into())),
        }
    }

    /// A link to a manager of the swarm whose root a join token names by its digest.
    pub(super) async fn dial_to_join(&self, address: SocketAddr, digest: [u8; 32]) -> HostResult<Arc<dyn Link>> {
        let host = self.host.clone();
        let judge: Judge = Arc::new(move |chain| {
            verify_by_digest(chain, digest, host.now()).map(drop).map_err(|error| error.to_string())
        });
        self.host.dial_secure(address, None, judge).await
    }

    pub(super) async fn listen_as(
        &self,
        membership: &Arc<Membership>,
    ) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
        let own = membership.clone();
        let identity = Arc::new(move || own.record().identity());
        self.host.listen_secure(PORT, identity, self.judge(membership.clone())).await
    }
}
