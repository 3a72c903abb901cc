//! What a stub does while its execution environment is initialised, before there is an event. Lambda does not take that from the function's
//! time, and a first call through a cold stub would spend most of its time on it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    cloud::{Cloud, Lookup, Registered},
    socket::Socket,
};

/// How long it may take. Lambda gives an initialisation 10 s, and begins it anew within the first call's time when that is over. The
/// caller of an HTTP API waits for 29 s, of which a call may take 25 s.
const LIMIT: Duration = Duration::from_secs(3);

/// Who answers for the function, and a connection over which the answers can come. `None` when there is nobody yet, or no way: a network
/// or a permission may be there by the first call, so that is no reason to fail.
pub(crate) async fn reach(cloud: &Cloud) -> Option<(Registered, Socket)> {
    let until = Instant::now() + LIMIT;
    let look = async {
        match cloud.registration(until).await {
            Ok(Lookup::Found(registered)) => Ok(registered),
            _ => Err(()),
        }
    };
    let connect = async { Socket::open(cloud, until).await.map_err(|_| ()) };
    // Where nobody answers, nobody is connected to.
    let both = async { tokio::try_join!(look, connect) };
    timeout_at(until, cloud.with_way_for_posts(both)).await.ok()?.ok()
}
