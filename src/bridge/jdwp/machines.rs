//! Machines that come, say what happens in them, and go.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    Events, GLANCE, Session,
    answers::{Nature, has_long_ids},
    client_s,
    link::{self, Class, INVALID_OBJECT, Link, Owner},
    packet::{Data, Packet, Reader},
    requests::Request,
    shape::{
        CLASS_PREPARE, CLASS_UNLOAD, MOST_MACHINES, THREAD_DEATH, VM_DEATH, VM_START, of_event, to_client,
    },
    stops::{ALL_THREADS, ONE_THREAD},
};
use crate::bridge::registry::{Missing, Offer};

/// A class that has been prepared: its tag, its id, and its signature.
type Prepared = (u8, u64, String);

/// Suspends nothing.
const NO_THREAD: u8 = 0;

impl Link {
    /// Remembers what the client gets to know.
    pub(super) fn note(&mut self, command: (u8, u8), answer: &[u8]) {
        let mut reader = Reader(answer);
        match command {
            (1, 4) => self.threads.extend(reader.list(Reader::long).unwrap_or_default()),
            (1, 3 | 20) => {
                let classes = reader.list(|item| {
                    item.byte()?;
                    let class = (item.long()?, item.text()?);
                    if command == (1, 20) {
                        item.text()?;
                    }
                    item.int().map(|_| class)
                });
                self.classes.extend(classes.unwrap_or_default());
            }
            _ => {}
        }
    }
}

impl Session {
    /// A process has come: it is asked for all that the client wants to be told of, and the client is told of its classes.
    pub(super) async fn came(&mut self, offer: Offer) {
        let Some(place) = offer.machine else { return };
        self.last_machine = if self.last_machine >= MOST_MACHINES { 1 } else { self.last_machine + 1 };
        let machine = self.last_machine;
        let (registry, worker) = (self.registry.clone(), offer.worker);
        let place = move || registry.machine(worker).unwrap_or(place);
        let begun = tokio::select! {
            stream = link::connect(|| place().port) => match stream {
                Ok(stream) => {
                    let mut link = Link::new(machine, offer.worker, stream, self.to_session.clone());
                    link.started_suspended = place().suspended;
                    self.begin(link).await
                }
                Err(error) => Err(error.to_string()),
            },
            () = offer.gone.cancelled() => return,
        };
        if let Err(error) = begun {
            self.links.remove(&machine);
            self.registry.lost(self.number, offer.worker, &format!("cannot debug it ({error})"));
        }
    }

    async fn begin(&mut self, mut link: Link) -> Result<(), String> {
        let failed = |error: u16| format!("it answers with the error {error}");
        // Nothing may come while it is looked at what there is.
        if link.started_suspended {
            link.started().await;
        } else {
            link.ask((1, 8), Data::default()).await.map_err(failed)?;
        }
        if !has_long_ids(&link.ask((1, 7), Data::default()).await.map_err(failed)?) {
            return Err("its ids are not of 64 bits".to_owned());
        }
        for question in Nature::QUESTIONS {
            if let Ok(answer) = link.ask(question, Data::default()).await {
                self.nature.learn(question, answer);
            }
        }
        for at in 0..self.requests.len() {
            let (before, rest) = self.requests.split_at_mut(at);
            let request = &mut rest[0];
            // What the client has set in several machines, it wants once in this one.
            let repeated = request.class().is_some() && before.iter().any(|other| other.is_like(request));
            if repeated || !request.lasts() {
                continue;
            }
            if let Err(error) = request.set(&mut link).await {
                tracing::debug!(error, ?request, "not set in a new process");
            }
        }
        let classes = link.all_classes().await.map_err(failed)?;
        let threads = link.all_threads().await.map_err(failed)?;
        let machine = link.machine;
        self.links.insert(machine, link);
        if let Some(thread) = threads.first() {
            self.announce(machine, &classes, *thread).await;
        }
        let Some(link) = self.links.get_mut(&machine) else { return Ok(()) };
        link.ask((1, 9), Data::default()).await.map_err(failed)?;
        // Before its first class is loaded, everything is set that is wanted now.
        if link.started_suspended && !link.stops.any() {
            link.ready = true;
            self.registry.ready(self.number, link.worker, Missing::Nothing);
        }
        Ok(())
    }

    /// Tells the client of classes that were there before it could be told, as if they had just been prepared.
    async fn announce(&mut self, machine: u16, classes: &[Class], thread: u64) {
        let prepared = |class: &&Class| class.status & PREPARED != 0;
        let mut told: BTreeMap<u32, (u8, Vec<Class>)> = BTreeMap::new();
        for request in self.requests.iter().filter(|request| request.kind == CLASS_PREPARE) {
            let wanted = classes.iter().filter(prepared).filter(|class| request.wants_class(class));
            let wanted: Vec<Class> = wanted.cloned().collect();
            if !wanted.is_empty() {
                told.insert(request.id, (request.policy, wanted));
            }
        }
        for (id, (policy, classes)) in told {
            let Some(link) = self.links.get_mut(&machine) else { return };
            let stopped = match policy {
                ALL_THREADS => link.ask((1, 8), Data::default()).await,
                ONE_THREAD => link.ask((11, 2), Data::default().long(thread)).await,
                _ => Ok(Vec::new()),
            };
            let policy = if stopped.is_ok() { policy } else { NO_THREAD };
            let mut data = Data::default();
            for class in &classes {
                link.classes.insert(class.id, class.signature.clone());
                data = client_s(machine, data.byte(CLASS_PREPARE).int(id), thread).byte(class.tag);
                data = client_s(machine, data, class.id).text(&class.signature).int(class.status);
            }
            let count = u32::try_from(classes.len()).unwrap_or_default();
            let events =
                Events { policy, count, data: data.0, thread: Some(thread), location: None, wanted: policy };
            self.deliver(machine, events).await;
        }
    }

    /// Something has happened in a machine.
    pub(super) async fn happened(&mut self, machine: u16, data: &[u8]) {
        let Some((mut events, classes)) = self.read_events(machine, data) else {
            return tracing::warn!("an event of a virtual machine is not understood");
        };
        for (tag, class, signature) in classes {
            self.set_waiting(machine, (tag, class), &signature).await;
        }
        // What stands only for us goes on; the client would not let it.
        let more = if events.policy > events.wanted { events.policy } else { NO_THREAD };
        events.policy = events.policy.min(events.wanted);
        let thread = events.thread;
        if events.count > 0 {
            self.deliver(machine, events).await;
        }
        let Some(link) = self.links.get_mut(&machine) else { return };
        let _ = match (more, thread) {
            (ALL_THREADS, _) => link.ask((1, 9), Data::default()).await,
            (ONE_THREAD, Some(thread)) => link.ask((11, 3), Data::default().long(thread)).await,
            _ => return,
        };
    }

    /// Reads events, as far as they are for the client, and the classes that were waited for.
    fn read_events(&mut self, machine: u16, data: &[u8]) -> Option<(Events, Vec<Prepared>)> {
        let mut data = data.to_vec();
        let link = self.links.get_mut(&machine)?;
        let mut reader = Reader(&data);
        let (policy, total) = (reader.byte()?, reader.int()?);
        let mut events =
            Events { policy, count: 0, data: Vec::new(), thread: None, location: None, wanted: 0 };
        let (mut classes, mut at) = (Vec::new(), 5);
        for _ in 0..total {
            let kind = *data.get(at)?;
            let shape = of_event(kind)?;
            let body = data.get_mut(at + 1..)?;
            let before = body.to_vec();
            let length = to_client(machine, shape, body).ok()?;
            let mut reader = Reader(before.get(..length)?);
            let number = reader.int()?;
            let thread = if shape.starts_with("ni") { reader.long() } else { None };
            events.thread = events.thread.or(thread);
            let owner = link.owners.get(&number).copied();
            if kind == CLASS_PREPARE {
                let class = (reader.byte()?, reader.long()?, reader.text()?);
                match owner {
                    Some(Owner::Own) if classes.contains(&class) => {}
                    Some(Owner::Own) => classes.push(class),
                    _ => drop(link.classes.insert(class.1, class.2)),
                }
            }
            if let (Some(Owner::Client(id)), false) = (owner, matches!(kind, VM_START | VM_DEATH)) {
                link.threads.extend(thread.filter(|_| kind != CLASS_PREPARE));
                if shape.starts_with("niL") {
                    reader.byte()?;
                    events.location = Some((reader.long()?, reader.long()?, reader.long()?));
                }
                events.count += 1;
                let request = self.requests.iter().find(|request| request.id == id);
                events.wanted = events.wanted.max(request.map_or(NO_THREAD, |request| request.policy));
                events.data.push(kind);
                events.data.extend_from_slice(&id.to_be_bytes());
                events.data.extend_from_slice(data.get(at + 5..at + 1 + length)?);
            }
            at += 1 + length;
        }
        Some((events, classes))
    }

    /// A class has come that requests wait for.
    async fn set_waiting(&mut self, machine: u16, class: (u8, u64), signature: &str) {
        let Some(link) = self.links.get_mut(&machine) else { return };
        link.classes.insert(class.1, signature.to_owned());
        for request in &mut self.requests {
            if request.class() != Some(signature) || !request.is_carried_to(machine) {
                continue;
            }
            if let Err(error) = request.set_for(link, class).await {
                tracing::debug!(error, ?request, "not set in a class that has come");
            }
        }
    }

    /// Hands events to the client, or keeps them until it lets the machine run that it knows to stand.
    async fn deliver(&mut self, machine: u16, events: Events) {
        if events.policy == ALL_THREADS && self.shown.is_some_and(|shown| shown != machine) {
            // Its clock stands still all the same.
            if let Some(link) = self.links.get_mut(&machine) {
                link.stops.due = Some(Instant::now() + GLANCE);
                link.stops.location = events.location;
            }
            self.held.push_back((machine, events));
            return;
        }
        let Some(link) = self.links.get_mut(&machine) else { return };
        if events.policy == ALL_THREADS {
            self.shown = Some(machine);
        }
        link.stops.events(events.policy, events.thread, events.location);
        if link.stops.any() && !link.stops.told {
            link.stops.due = Some(Instant::now() + GLANCE);
        }
        self.emit(events.policy, events.count, events.data).await;
    }

    async fn emit(&mut self, policy: u8, count: u32, mut events: Vec<u8>) {
        let mut data = Data::default().byte(policy).int(count);
        data.0.append(&mut events);
        self.last_event = self.last_event.wrapping_add(1);
        self.send(Packet::command(self.last_event, (64, 100), data.0)).await;
    }

    /// The client has let something run, or stopped it.
    pub(super) async fn stands(&mut self, machine: u16) {
        let Some(link) = self.links.get_mut(&machine) else { return };
        let held = self.held.iter().any(|(held, _)| *held == machine);
        if link.stops.any() || held {
            if !link.stops.told && link.stops.due.is_none() {
                link.stops.due = Some(Instant::now() + GLANCE);
            }
        } else {
            link.stops.due = None;
            if std::mem::take(&mut link.stops.told) {
                self.registry.resumed(link.worker);
            }
            if link.started_suspended && !link.ready {
                link.ready = true;
                self.registry.ready(self.number, link.worker, Missing::Nothing);
            }
        }
        if self.shown == Some(machine) && !link.stops.all() {
            self.show_next().await;
        }
    }

    async fn show_next(&mut self) {
        self.shown = None;
        if let Some((machine, events)) = self.held.pop_front() {
            Box::pin(self.deliver(machine, events)).await;
        }
    }

    /// A machine has gone. What the client may believe to be there is not.
    pub(super) async fn ended(&mut self, machine: u16, unanswered: Vec<u32>) {
        for id in unanswered {
            self.send(Packet::error(id, INVALID_OBJECT)).await;
        }
        let Some(link) = self.links.remove(&machine) else { return };
        self.held.retain(|(held, _)| *held != machine);
        self.registry.disconnected(self.number, link.worker);
        let wanted = |kind: u8| move |request: &&Request| request.kind == kind;
        let unloads: Vec<(u32, String)> = self
            .requests
            .iter()
            .filter(wanted(CLASS_UNLOAD))
            .flat_map(|request| {
                let class = |(id, signature): (&u64, &String)| Class {
                    tag: 1,
                    id: *id,
                    signature: signature.clone(),
                    status: 0,
                };
                let gone = link.classes.iter().map(class).filter(|class| request.wants_class(class));
                gone.map(|class| (request.id, class.signature)).collect::<Vec<_>>()
            })
            .collect();
        let deaths: Vec<(u32, u64)> = self
            .requests
            .iter()
            .filter(wanted(THREAD_DEATH))
            .filter(|request| request.lasts())
            .flat_map(|request| link.threads.iter().map(|thread| (request.id, *thread)))
            .collect();
        for request in &mut self.requests {
            request.forget(machine);
        }
        self.requests.retain(|request| request.lasts() || request.is_of_client());
        if !deaths.is_empty() {
            let each = |data: Data, (id, thread): &(u32, u64)| {
                client_s(machine, data.byte(THREAD_DEATH).int(*id), *thread)
            };
            let data = deaths.iter().fold(Data::default(), each);
            self.emit(NO_THREAD, u32::try_from(deaths.len()).unwrap_or_default(), data.0).await;
        }
        if !unloads.is_empty() {
            let each = |data: Data, (id, signature): &(u32, String)| {
                data.byte(CLASS_UNLOAD).int(*id).text(signature)
            };
            let data = unloads.iter().fold(Data::default(), each);
            self.emit(NO_THREAD, u32::try_from(unloads.len()).unwrap_or_default(), data.0).await;
        }
        if self.shown == Some(machine) {
            self.show_next().await;
        }
    }
}

/// In the status of a class.
const PREPARED: u32 = 2;
