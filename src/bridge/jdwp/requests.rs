//! What a client has asked to be told of (`EventRequest.Set`), in words that hold for any machine, so that it is asked again of each
//! machine that comes.

use std::collections::BTreeMap;

use super::{
    link::{Class, INVALID_OBJECT, Link, Owner, line_at},
    packet::{Data, Reader},
    shape::{CLASS_PREPARE, theirs},
    stops::ONE_THREAD,
};

const COUNT: u8 = 1;
const CONDITIONAL: u8 = 2;
const THREAD_ONLY: u8 = 3;
const CLASS_ONLY: u8 = 4;
const CLASS_MATCH: u8 = 5;
const CLASS_EXCLUDE: u8 = 6;
const LOCATION_ONLY: u8 = 7;
const EXCEPTION_ONLY: u8 = 8;
const FIELD_ONLY: u8 = 9;
const STEP: u8 = 10;
const INSTANCE_ONLY: u8 = 11;
const SOURCE_NAME_MATCH: u8 = 12;
const PLATFORM_THREADS_ONLY: u8 = 13;

/// A condition on the events that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Modifier {
    /// One without ids, as it is on the wire.
    Plain(Vec<u8>),
    /// One that names threads or objects of a machine, as that knows them, and means nothing to another.
    Private(Vec<u8>),
    /// A pattern for names of classes. Not those, where it excludes.
    Pattern { excludes: bool, pattern: String },
    /// A class.
    Class { signature: String },
    /// Exceptions of a class; of any, where that is empty.
    Exception { signature: String, caught: u8, uncaught: u8 },
    /// A field.
    Field { signature: String, name: String, kind: String },
    /// A place in the code.
    Place { signature: String, method: (String, String), line: Option<u32>, index: u64 },
}

impl Modifier {
    /// The class that has to be there for it.
    fn class(&self) -> Option<&str> {
        match self {
            Self::Class { signature }
            | Self::Exception { signature, .. }
            | Self::Field { signature, .. }
            | Self::Place { signature, .. } => {
                Some(signature).filter(|name| !name.is_empty()).map(String::as_str)
            }
            Self::Plain(_) | Self::Private(_) | Self::Pattern { .. } => None,
        }
    }
}

/// Whose objects a request names: the machine, and the class, if it is one, with its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub machine: u16,
    pub class: Option<(u8, u64)>,
}

/// What a request is known as in a machine.
#[derive(Debug, Default)]
struct Known {
    /// The machine's numbers; several where a class is loaded several times.
    numbers: Vec<u32>,
    /// The client has set it there itself.
    by_client: bool,
}

/// Something that the client wants to be told of.
#[derive(Debug)]
pub(super) struct Request {
    /// The client's number for it.
    pub id: u32,
    pub kind: u8,
    pub policy: u8,
    pub modifiers: Vec<Modifier>,
    set: BTreeMap<u16, Known>,
}

impl Request {
    /// Reads the data of `EventRequest.Set`. Names of what the client means are asked of the `links`.
    ///
    /// Returns whose objects it names as well, if it names any. The error is what the client is answered.
    pub(super) async fn read(
        id: u32,
        data: &[u8],
        links: &mut BTreeMap<u16, Link>,
    ) -> Result<(Self, Option<Named>), u16> {
        let mut reader = Reader(data);
        let (kind, policy, count) =
            (|| Some((reader.byte()?, reader.byte()?, reader.int()?)))().ok_or(ILLEGAL_ARGUMENT)?;
        let (mut modifiers, mut named) = (Vec::new(), None);
        for _ in 0..count {
            modifiers.push(read_modifier(&mut reader, links, &mut named).await?);
        }
        Ok((Self { id, kind, policy, modifiers, set: BTreeMap::new() }, named))
    }

    /// The class that has to be there before it can be set.
    pub(super) fn class(&self) -> Option<&str> {
        self.modifiers.iter().find_map(Modifier::class)
    }

    /// Whether it means something to any machine.
    pub(super) fn lasts(&self) -> bool {
        !self.modifiers.iter().any(|modifier| matches!(modifier, Modifier::Private(_)))
    }

    /// Whether the two ask for the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.kind, self.policy) == (other.kind, other.policy) && self.modifiers == other.modifiers
    }

    /// Whether it is set in a machine, and the client has not asked for that.
    pub(super) fn is_carried_to(&self, machine: u16) -> bool {
        self.set.get(&machine).is_some_and(|known| !known.by_client)
    }

    /// Whether it is set in a machine, or will be when its class comes.
    pub(super) fn is_in(&self, machine: u16) -> bool {
        self.set.contains_key(&machine)
    }

    /// Whether the client has set it itself in a machine that still is there.
    pub(super) fn is_of_client(&self) -> bool {
        self.set.values().any(|known| known.by_client)
    }

    /// Sets it where the client wants it to be.
    pub(super) async fn set_by_client(
        &mut self,
        link: &mut Link,
        class: Option<(u8, u64)>,
    ) -> Result<(), u16> {
        self.set.entry(link.machine).or_default().by_client = true;
        let data = self.encoded(link, class).await?;
        self.send(link, data).await
    }

    /// Sets it in a machine. Where the class is not there yet, it will be set when that comes.
    pub(super) async fn set(&mut self, link: &mut Link) -> Result<(), u16> {
        self.set.entry(link.machine).or_default();
        let Some(signature) = self.class().map(str::to_owned) else {
            let data = self.encoded(link, None).await?;
            return self.send(link, data).await;
        };
        for (tag, id) in link.classes(&signature).await? {
            self.set_for(link, (tag, id)).await?;
        }
        if link.awaited.insert(signature.clone()) {
            let data = Data::default().byte(CLASS_PREPARE).byte(ONE_THREAD).int(1).byte(CLASS_MATCH);
            let answer = link.ask((15, 1), data.text(&name_of(&signature))).await?;
            link.owners.insert(Reader(&answer).int().ok_or(INVALID_OBJECT)?, Owner::Own);
        }
        Ok(())
    }

    /// Sets it in a machine where the class that it is about is this one.
    pub(super) async fn set_for(&mut self, link: &mut Link, class: (u8, u64)) -> Result<(), u16> {
        let data = self.encoded(link, Some(class)).await?;
        self.send(link, data).await
    }

    /// Takes in what the machine knows it as.
    async fn send(&mut self, link: &mut Link, data: Data) -> Result<(), u16> {
        let answer = link.ask((15, 1), data).await?;
        let number = Reader(&answer).int().ok_or(INVALID_OBJECT)?;
        link.owners.insert(number, Owner::Client(self.id));
        self.set.entry(link.machine).or_default().numbers.push(number);
        Ok(())
    }

    /// Takes it back in a machine.
    pub(super) async fn clear(&mut self, link: &mut Link) {
        for number in self.set.remove(&link.machine).unwrap_or_default().numbers {
            let _ = link.ask((15, 2), Data::default().byte(self.kind).int(number)).await;
            link.owners.remove(&number);
        }
    }

    /// Forgets a machine that has gone.
    pub(super) fn forget(&mut self, machine: u16) {
        self.set.remove(&machine);
    }

    /// Whether it asks to be told of a class like this when that is prepared, as far as that can be told from its name.
    pub(super) fn wants_class(&self, class: &Class) -> bool {
        let name = name_of(&class.signature);
        let fits = |modifier: &Modifier| match modifier {
            Modifier::Pattern { excludes, pattern } => matches(pattern, &name) != *excludes,
            Modifier::Class { signature } => *signature == class.signature,
            Modifier::Plain(bytes) => bytes.first() != Some(&SOURCE_NAME_MATCH),
            _ => false,
        };
        self.modifiers.iter().all(fits)
    }

    /// The data of `EventRequest.Set` for a machine.
    async fn encoded(&self, link: &mut Link, class: Option<(u8, u64)>) -> Result<Data, u16> {
        let count = u32::try_from(self.modifiers.len()).unwrap_or_default();
        let mut data = Data::default().byte(self.kind).byte(self.policy).int(count);
        let (tag, id) = class.unwrap_or_default();
        for modifier in &self.modifiers {
            data = match modifier {
                Modifier::Plain(bytes) | Modifier::Private(bytes) => {
                    data.0.extend_from_slice(bytes);
                    data
                }
                Modifier::Pattern { excludes, pattern } => {
                    data.byte(if *excludes { CLASS_EXCLUDE } else { CLASS_MATCH }).text(pattern)
                }
                Modifier::Class { .. } => data.byte(CLASS_ONLY).long(id),
                Modifier::Exception { caught, uncaught, .. } => {
                    data.byte(EXCEPTION_ONLY).long(id).byte(*caught).byte(*uncaught)
                }
                Modifier::Field { name, kind, .. } => {
                    let fields = link.members(id, 4).await?;
                    let found = fields.iter().find(|field| field.1 == *name && field.2 == *kind);
                    data.byte(FIELD_ONLY).long(id).long(found.ok_or(INVALID_OBJECT)?.0)
                }
                Modifier::Place { method, line, index, .. } => {
                    let (method, index) = find(link, id, method, *line, *index).await?;
                    data.byte(LOCATION_ONLY).byte(tag).long(id).long(method).long(index)
                }
            };
        }
        Ok(data)
    }
}

/// What the protocol says to what it does not understand.
pub(super) const ILLEGAL_ARGUMENT: u16 = 103;

async fn read_modifier(
    reader: &mut Reader<'_>,
    links: &mut BTreeMap<u16, Link>,
    named: &mut Option<Named>,
) -> Result<Modifier, u16> {
    let start = *reader;
    let kind = reader.byte().ok_or(ILLEGAL_ARGUMENT)?;
    let mut id = |reader: &mut Reader<'_>| {
        let (of, id) = theirs(reader.long().ok_or(ILLEGAL_ARGUMENT)?);
        if id != 0 {
            named.get_or_insert(Named { machine: of, class: None });
        }
        Ok::<u64, u16>(id)
    };
    let malformed = ILLEGAL_ARGUMENT;
    match kind {
        COUNT | CONDITIONAL => {
            reader.int().ok_or(malformed)?;
        }
        CLASS_MATCH | CLASS_EXCLUDE => {
            let pattern = reader.text().ok_or(malformed)?;
            return Ok(Modifier::Pattern { excludes: kind == CLASS_EXCLUDE, pattern });
        }
        SOURCE_NAME_MATCH => drop(reader.text().ok_or(malformed)?),
        PLATFORM_THREADS_ONLY => {}
        THREAD_ONLY | INSTANCE_ONLY => {
            let id = id(reader)?;
            return Ok(Modifier::Private(Data::default().byte(kind).long(id).0));
        }
        STEP => {
            let id = id(reader)?;
            let rest = reader.bytes(8).ok_or(malformed)?;
            return Ok(Modifier::Private([&Data::default().byte(kind).long(id).0[..], rest].concat()));
        }
        CLASS_ONLY => {
            let class = id(reader)?;
            let signature = link_of(links, named, (0, class))?.signature(class).await?;
            return Ok(Modifier::Class { signature });
        }
        EXCEPTION_ONLY => {
            let class = id(reader)?;
            let (caught, uncaught) = (reader.byte().ok_or(malformed)?, reader.byte().ok_or(malformed)?);
            let signature = match class {
                0 => String::new(),
                _ => link_of(links, named, (0, class))?.signature(class).await?,
            };
            return Ok(Modifier::Exception { signature, caught, uncaught });
        }
        FIELD_ONLY => {
            let (class, field) = (id(reader)?, id(reader)?);
            let link = link_of(links, named, (0, class))?;
            let signature = link.signature(class).await?;
            let found = link.members(class, 4).await?.into_iter().find(|(id, ..)| *id == field);
            let (_, name, kind) = found.ok_or(INVALID_OBJECT)?;
            return Ok(Modifier::Field { signature, name, kind });
        }
        LOCATION_ONLY => {
            let tag = reader.byte().ok_or(malformed)?;
            let (class, method) = (id(reader)?, id(reader)?);
            let index = reader.long().ok_or(malformed)?;
            let link = link_of(links, named, (tag, class))?;
            let signature = link.signature(class).await?;
            let found = link.members(class, 5).await?.into_iter().find(|(id, ..)| *id == method);
            let (_, name, kind) = found.ok_or(INVALID_OBJECT)?;
            let line = line_at(&link.lines(class, method).await, index);
            return Ok(Modifier::Place { signature, method: (name, kind), line, index });
        }
        _ => return Err(malformed),
    }
    Ok(Modifier::Plain(start.0[..start.0.len() - reader.0.len()].to_vec()))
}

/// The machine that was named, with a class of it.
fn link_of<'a>(
    links: &'a mut BTreeMap<u16, Link>,
    named: &mut Option<Named>,
    class: (u8, u64),
) -> Result<&'a mut Link, u16> {
    let named = named.as_mut().ok_or(INVALID_OBJECT)?;
    named.class = Some(class);
    links.get_mut(&named.machine).ok_or(INVALID_OBJECT)
}

/// The place in a class that was meant with a place in an earlier state of it: the same line, in the same method if it still is there.
async fn find(
    link: &mut Link,
    class: u64,
    (name, kind): &(String, String),
    line: Option<u32>,
    index: u64,
) -> Result<(u64, u64), u16> {
    let mut methods = link.members(class, 5).await?;
    methods.sort_by_key(|method| (method.1 != *name || method.2 != *kind, method.0));
    for (method, its_name, its_kind) in methods {
        let Some(line) = line else {
            return if its_name == *name && its_kind == *kind {
                Ok((method, index))
            } else {
                Err(INVALID_OBJECT)
            };
        };
        let lines = link.lines(class, method).await;
        let mut starts: Vec<u64> =
            lines.iter().filter(|entry| entry.1 == line).map(|entry| entry.0).collect();
        starts.sort_unstable();
        let start = starts.iter().find(|start| **start == index).or(starts.first());
        if let Some(start) = start {
            return Ok((method, *start));
        }
    }
    Err(INVALID_OBJECT)
}

/// `Lhello/Handler;` as `hello.Handler`.
pub(super) fn name_of(signature: &str) -> String {
    let name = signature.strip_prefix('L').and_then(|name| name.strip_suffix(';'));
    name.map_or_else(|| signature.to_owned(), |name| name.replace('/', "."))
}

/// Whether a pattern of the protocol fits: a name, or one that begins or ends with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    if let Some(end) = pattern.strip_prefix('*') {
        name.ends_with(end)
    } else if let Some(start) = pattern.strip_suffix('*') {
        name.starts_with(start)
    } else {
        pattern == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_without_ids_are_kept_as_they_are() {
        let data = Data::default().byte(CLASS_PREPARE).byte(2).int(3);
        let data =
            data.byte(CLASS_MATCH).text("hello.*").byte(CLASS_EXCLUDE).text("*.Other").byte(COUNT).int(1);
        let (request, named) = Request::read(7, &data.0, &mut BTreeMap::new()).await.unwrap();
        assert_eq!((request.id, request.kind, request.policy, named), (7, CLASS_PREPARE, 2, None));
        assert!(request.lasts() && request.class().is_none());
        let class = |signature: &str| Class { tag: 1, id: 1, signature: signature.into(), status: 7 };
        assert!(request.wants_class(&class("Lhello/Handler;")));
        assert!(!request.wants_class(&class("Lhello/Other;")) && !request.wants_class(&class("Lx/Handler;")));
    }

    #[tokio::test]
    async fn what_is_of_a_machine_that_has_gone_is_refused() {
        let mut links = BTreeMap::new();
        let location = Data::default().byte(2).byte(2).int(1).byte(LOCATION_ONLY).byte(1);
        let location = location.long(super::super::shape::ours(1, 5)).long(6).long(0);
        assert_eq!(Request::read(1, &location.0, &mut links).await.unwrap_err(), INVALID_OBJECT);
        assert_eq!(Request::read(1, &location.0[..9], &mut links).await.unwrap_err(), ILLEGAL_ARGUMENT);
        let step = Data::default()
            .byte(1)
            .byte(2)
            .int(1)
            .byte(STEP)
            .long(super::super::shape::ours(3, 5))
            .int(1)
            .int(2);
        let (request, named) = Request::read(1, &step.0, &mut links).await.unwrap();
        assert_eq!((request.lasts(), named), (false, Some(Named { machine: 3, class: None })));
        assert_eq!(
            request.modifiers,
            [Modifier::Private(Data::default().byte(STEP).long(5).int(1).int(2).0)]
        );
    }

    #[test]
    fn names_are_those_of_the_source() {
        assert_eq!([name_of("Lhello/Handler$1;"), name_of("[I")], ["hello.Handler$1", "[I"]);
    }
}
