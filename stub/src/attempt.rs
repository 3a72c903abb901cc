//! One attempt to reach a client: the request is offered to whoever is registered, or the one who has taken it is asked.

use std::pin::Pin;

use tokio::time::Instant;

use crate::{
    cloud::{Cloud, Lookup, Posted, Registered},
    problem::Problem,
};

/// One attempt to reach a client.
pub(crate) type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Reached, Problem>> + 'a>>;

/// What has come of one.
pub(crate) enum Reached {
    /// This one has been sent something.
    Sent(Registered),
    /// This one may have been sent something.
    Unsure(Registered, Problem),
    /// The connection of this one is gone.
    Gone(Registered),
    /// The same, but it may have been sent something before.
    GoneWithIt(Registered),
    /// This one is registered, and nothing was sent to it.
    Registered(Registered),
    /// Nobody is registered.
    Nobody(String),
}

/// An offer of the request.
pub(crate) struct Offer {
    /// Who is known to be registered; else it is looked up.
    pub known: Option<Registered>,
    /// A connection to which nothing is to be sent.
    pub not_to: Option<String>,
    /// Who may have got the request already. Then it is sent to no other client, but they are asked.
    pub silent: Vec<Registered>,
    pub invoke: String,
    pub moved: String,
    /// Until when it is worth trying.
    pub until: Instant,
}

/// Offers a request to whoever is registered.
pub(crate) async fn offer(cloud: &Cloud, offer: Offer) -> Result<Reached, Problem> {
    let Offer { known, not_to, silent, invoke, moved, until } = offer;
    let found = match known {
        Some(found) => found,
        None => match cloud.registration(until).await? {
            Lookup::Found(found) => found,
            Lookup::Nobody(why) | Lookup::Lapsed(why) => return Ok(Reached::Nobody(why)),
        },
    };
    if !silent.is_empty() && silent.iter().all(|silent| silent.client != found.client) {
        for silent in silent {
            cloud.post(until, &silent.connection, &moved).await?;
        }
        return Ok(Reached::Registered(found));
    }
    if not_to.as_deref() == Some(&found.connection) {
        return Ok(Reached::Registered(found));
    }
    match cloud.post(until, &found.connection, &invoke).await {
        Ok(Posted::Arrived) => Ok(Reached::Sent(found)),
        Ok(Posted::Gone) => Ok(Reached::Gone(found)),
        Ok(Posted::MaybeBefore) => Ok(Reached::GoneWithIt(found)),
        Err(problem @ Problem::Cloud { .. }) => Ok(Reached::Unsure(found, problem)),
        Err(problem) => Err(problem),
    }
}

/// Asks the one who has taken a request. `look` first looks for it in the table.
pub(crate) async fn ask(
    cloud: &Cloud,
    until: Instant,
    mut taken: Registered,
    text: String,
    mut look: bool,
) -> Result<Reached, Problem> {
    loop {
        if look {
            match cloud.registration(until).await? {
                Lookup::Found(found) if found.client == taken.client => taken.connection = found.connection,
                // It has ended, whatever becomes of what is sent to its connection.
                Lookup::Found(found) if found.home == taken.home => return Ok(Reached::Registered(found)),
                other => {
                    // What is registered now says nothing of one that still listens where it did.
                    if cloud.post(until, &taken.connection, &text).await? == Posted::Arrived {
                        return Ok(Reached::Sent(taken));
                    }
                    return Ok(match other {
                        Lookup::Found(found) => Reached::Registered(found),
                        Lookup::Nobody(why) | Lookup::Lapsed(why) => Reached::Nobody(why),
                    });
                }
            }
        }
        if cloud.post(until, &taken.connection, &text).await? == Posted::Arrived {
            return Ok(Reached::Sent(taken));
        }
        if look {
            return Ok(Reached::Gone(taken));
        }
        look = true;
    }
}
