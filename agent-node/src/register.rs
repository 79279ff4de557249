//! A node's entry in etcd: a key whose value is its address, for as long as it renews its lease.
//!
//! etcd that is away changes nothing for the node: it goes on serving and registers again when etcd is back.

use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, Identity, LeaseKeepAliveStream, LeaseKeeper, PutOptions, TlsOptions,
};
use synod_tls::TlsFiles;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A node that vanishes is forgotten after this.
const LEASE: Duration = Duration::from_secs(10);
/// Two renewals may be lost.
const RENEW: Duration = Duration::from_secs(3);
/// How long one call may take before the next member is tried.
const CALL: Duration = Duration::from_secs(2);
/// The first pause after every member was tried; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where and as what a node registers.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Members of etcd, as URLs. One is asked at a time, the next when it fails.
    pub endpoints: Vec<String>,
    /// The node's key: the prefix that aggregators look under, and a name of its own.
    pub key: String,
    /// Where aggregators reach the node.
    pub address: String,
    /// For members behind `https`.
    pub tls: Option<TlsFiles>,
}

/// A lease that has our key.
struct Lease {
    client: Client,
    id: i64,
    renewals: (LeaseKeeper, LeaseKeepAliveStream),
}

impl Registration {
    /// Keeps the node registered until it leaves, then removes it at once.
    pub async fn keep(&self, leave: CancellationToken) {
        let (mut turn, mut pause, mut lease) = (0_usize, FIRST_PAUSE, None);
        loop {
            let step = self.step(&mut lease, turn);
            let result = tokio::select! {
                () = leave.cancelled() => break,
                result = step => result,
            };
            let Err(error) = result else {
                pause = FIRST_PAUSE;
                continue;
            };
            tracing::warn!(%error, endpoint = self.endpoint(turn), "not registered in etcd; trying again");
            lease = None;
            turn += 1;
            if turn.is_multiple_of(self.endpoints.len().max(1)) {
                tokio::select! {
                    () = leave.cancelled() => break,
                    () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        }
        if let Some(lease) = lease {
            lease.revoke().await;
        }
    }

    /// Registers, or waits and renews.
    async fn step(&self, lease: &mut Option<Lease>, turn: usize) -> Result<(), Error> {
        match lease {
            None => {
                *lease = Some(within(CALL, self.register(turn)).await?);
                tracing::info!(key = self.key, address = self.address, "registered in etcd");
                Ok(())
            }
            Some(lease) => {
                sleep(RENEW).await;
                within(CALL, lease.renew()).await
            }
        }
    }

    async fn register(&self, turn: usize) -> Result<Lease, Error> {
        let mut client = Client::connect([self.endpoint(turn)], Some(self.options()?)).await?;
        let id = client.lease_grant(i64::try_from(LEASE.as_secs()).unwrap_or(i64::MAX), None).await?.id();
        let put = PutOptions::new().with_lease(id);
        client.put(self.key.as_str(), self.address.as_str(), Some(put)).await?;
        let renewals = client.lease_keep_alive(id).await?;
        Ok(Lease { client, id, renewals })
    }

    fn endpoint(&self, turn: usize) -> &str {
        self.endpoints.get(turn % self.endpoints.len().max(1)).map_or("", String::as_str)
    }

    fn options(&self) -> Result<ConnectOptions, Error> {
        // A member that is cut off from the others cannot renew a lease; better to hear so.
        let options = ConnectOptions::new().with_connect_timeout(CALL).with_require_leader(true);
        let Some(files) = &self.tls else { return Ok(options) };
        let (cert, key, ca) = (std::fs::read(&files.cert)?, std::fs::read(&files.key)?, std::fs::read(&files.ca)?);
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(ca)).identity(Identity::from_pem(cert, key));
        Ok(options.with_tls(tls))
    }
}

impl Lease {
    async fn renew(&mut self) -> Result<(), Error> {
        let (keeper, stream) = &mut self.renewals;
        keeper.keep_alive().await?;
        match stream.message().await? {
            Some(renewed) if renewed.ttl() > 0 => Ok(()),
            // etcd was away for longer than the lease, and our key is gone.
            _ => Err(Error::LeaseKeepAliveError("the lease has run out".to_owned())),
        }
    }

    /// Takes our key with it. If etcd is away the lease runs out by itself.
    async fn revoke(mut self) {
        match within(CALL, self.client.lease_revoke(self.id)).await {
            Ok(_) => tracing::info!("left etcd"),
            Err(error) => tracing::warn!(%error, "cannot leave etcd; the lease runs out in {LEASE:?}"),
        }
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(Error::EndpointError("no answer in time".to_owned())))
}
