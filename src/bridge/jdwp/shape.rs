//! What the data of each command, reply and event is made of, so that ids in it can be exchanged.
//!
//! Each virtual machine counts its own ids. To a client the number of the machine is put into their highest bits, which HotSpot leaves
//! zero: object ids are counted, and those of methods and fields are addresses, or counted as well.

use super::packet::Reader;

/// How far the number of a machine is shifted.
const SHIFT: u32 = 48;

/// The largest number of a machine: ids stay positive in Java's eyes.
pub(super) const MOST_MACHINES: u16 = 0x7fff;

/// A client's id of what a machine calls `id`.
pub(super) fn ours(machine: u16, id: u64) -> u64 {
    if id == 0 { 0 } else { id | u64::from(machine) << SHIFT }
}

/// The machine of a client's id, and what that calls it. Nothing is nobody's.
pub(super) fn theirs(id: u64) -> (u16, u64) {
    ((id >> SHIFT) as u16, id & ((1 << SHIFT) - 1))
}

/// What a command and its reply are made of; none for one that is not known.
///
/// `i`: an id; `b`: a byte; `n`: an integer; `l`: a long; `s`: a string, or anything with its length before it; `t`: an object with its
/// tag; `v`: a value with its tag; `u`: a value without one; `L`: a location; `A`: a region of an array; `*(…)`: a list.
pub(super) fn of_command(command: (u8, u8)) -> Option<(&'static str, &'static str)> {
    Some(match command {
        // VirtualMachine
        (1, 1) => ("", "snnss"),
        (1, 2) => ("s", "*(bin)"),
        (1, 3) => ("", "*(bisn)"),
        (1, 4 | 5 | 22) => ("", "*(i)"),
        (1, 6 | 8 | 9 | 15 | 16) => ("", ""),
        (1, 7) => ("", "nnnnn"),
        (1, 10) => ("n", ""),
        (1, 11) => ("s", "i"),
        (1, 12) => ("", "bbbbbbb"),
        (1, 13) => ("", "s*(s)*(s)"),
        (1, 14) => ("*(in)", ""),
        (1, 17) => ("", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
        (1, 18) => ("*(is)", ""),
        (1, 19) => ("s", ""),
        (1, 20) => ("", "*(bissn)"),
        (1, 21) => ("*(i)", "*(l)"),
        // ReferenceType
        (2, 1 | 7 | 12) => ("i", "s"),
        (2, 2 | 11 | 19) => ("i", "i"),
        (2, 3 | 9) => ("i", "n"),
        (2, 4 | 5) => ("i", "*(issn)"),
        (2, 6) => ("i*(i)", "*(v)"),
        (2, 8) => ("i", "*(bi)"),
        (2, 10) => ("i", "*(i)"),
        (2, 13) => ("i", "ss"),
        (2, 14 | 15) => ("i", "*(isssn)"),
        (2, 16) => ("in", "*(t)"),
        (2, 17) => ("i", "nn"),
        (2, 18) => ("i", "ns"),
        // ClassType
        (3, 1) => ("i", "i"),
        (3, 2) => ("i*(iu)", ""),
        (3, 3) => ("iii*(v)n", "vt"),
        (3, 4) => ("iii*(v)n", "tt"),
        // ArrayType, InterfaceType
        (4, 1) => ("in", "t"),
        (5, 1) => ("iii*(v)n", "vt"),
        // Method
        (6, 1) => ("ii", "ll*(ln)"),
        (6, 2) => ("ii", "n*(lssnn)"),
        (6, 3) => ("ii", "s"),
        (6, 4) => ("ii", "b"),
        (6, 5) => ("ii", "n*(lsssnn)"),
        // ObjectReference
        (9, 1) => ("i", "bi"),
        (9, 2) => ("i*(i)", "*(v)"),
        (9, 3) => ("i*(iu)", ""),
        (9, 5) => ("i", "in*(i)"),
        (9, 6) => ("iiii*(v)n", "vt"),
        (9, 7 | 8) => ("i", ""),
        (9, 9) => ("i", "b"),
        (9, 10) => ("in", "*(t)"),
        // StringReference
        (10, 1) => ("i", "s"),
        // ThreadReference
        (11, 1) => ("i", "s"),
        (11, 2 | 3 | 11) => ("i", ""),
        (11, 4) => ("i", "nn"),
        (11, 5) => ("i", "i"),
        (11, 6) => ("inn", "*(iL)"),
        (11, 7 | 12) => ("i", "n"),
        (11, 8) => ("i", "*(t)"),
        (11, 9) => ("i", "t"),
        (11, 10) => ("ii", ""),
        (11, 13) => ("i", "*(tn)"),
        (11, 14) => ("iv", ""),
        (11, 15) => ("i", "b"),
        // ThreadGroupReference
        (12, 1) => ("i", "s"),
        (12, 2) => ("i", "i"),
        (12, 3) => ("i", "*(i)*(i)"),
        // ArrayReference
        (13, 1) => ("i", "n"),
        (13, 2) => ("inn", "A"),
        (13, 3) => ("in*(u)", ""),
        // ClassLoaderReference
        (14, 1) => ("i", "*(bi)"),
        // EventRequest; how one is set is read elsewhere
        (15, 2) => ("bn", ""),
        (15, 3) => ("", ""),
        // StackFrame
        (16, 1) => ("ii*(nb)", "*(v)"),
        (16, 2) => ("ii*(nv)", ""),
        (16, 3) => ("ii", "t"),
        (16, 4) => ("ii", ""),
        // ClassObjectReference, ModuleReference
        (17, 1) => ("i", "bi"),
        (18, 1) => ("i", "s"),
        (18, 2) => ("i", "i"),
        _ => return None,
    })
}

/// What an event is made of, after its kind.
pub(super) fn of_event(kind: u8) -> Option<&'static str> {
    Some(match kind {
        SINGLE_STEP | BREAKPOINT | FRAME_POP | METHOD_ENTRY | METHOD_EXIT => "niL",
        EXCEPTION => "niLtL",
        THREAD_START | THREAD_DEATH | VM_START => "ni",
        CLASS_PREPARE => "nibisn",
        CLASS_UNLOAD => "ns",
        FIELD_ACCESS => "niLbiit",
        FIELD_MODIFICATION => "niLbiitv",
        METHOD_EXIT_WITH_VALUE => "niLv",
        MONITOR_CONTENDED_ENTER | MONITOR_CONTENDED_ENTERED => "nitL",
        MONITOR_WAIT => "nitLl",
        MONITOR_WAITED => "nitLb",
        VM_DEATH => "n",
        _ => return None,
    })
}

pub(super) const SINGLE_STEP: u8 = 1;
pub(super) const BREAKPOINT: u8 = 2;
pub(super) const FRAME_POP: u8 = 3;
pub(super) const EXCEPTION: u8 = 4;
pub(super) const THREAD_START: u8 = 6;
pub(super) const THREAD_DEATH: u8 = 7;
pub(super) const CLASS_PREPARE: u8 = 8;
pub(super) const CLASS_UNLOAD: u8 = 9;
pub(super) const FIELD_ACCESS: u8 = 20;
pub(super) const FIELD_MODIFICATION: u8 = 21;
pub(super) const METHOD_ENTRY: u8 = 40;
pub(super) const METHOD_EXIT: u8 = 41;
pub(super) const METHOD_EXIT_WITH_VALUE: u8 = 42;
pub(super) const MONITOR_CONTENDED_ENTER: u8 = 43;
pub(super) const MONITOR_CONTENDED_ENTERED: u8 = 44;
pub(super) const MONITOR_WAIT: u8 = 45;
pub(super) const MONITOR_WAITED: u8 = 46;
pub(super) const VM_START: u8 = 90;
pub(super) const VM_DEATH: u8 = 99;

/// Data that is not made as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Exchanges the ids in data that a machine has sent for those that a client knows. Returns how long it is: more may follow.
pub(super) fn to_client(machine: u16, shape: &str, data: &mut [u8]) -> Result<usize, Malformed> {
    let mut walk = Walk { data, at: 0, exchange: |id| ours(machine, id), loose: None };
    walk.all(shape.as_bytes())?;
    Ok(walk.at)
}

/// Exchanges the ids in a client's data for those of the machine that they are of. Returns that machine, if there are any ids; an error
/// if they are of several.
pub(super) fn to_machine(shape: &str, data: &mut [u8]) -> Result<Option<u16>, Malformed> {
    let (mut machine, mut several) = (None, false);
    let exchange = |id| {
        let (of, id) = theirs(id);
        if id != 0 {
            several |= machine.is_some_and(|machine| machine != of);
            machine = Some(of);
        }
        id
    };
    // Before a value without a tag comes the object, or class, that gets it.
    let target = Reader(data).long().map(|id| theirs(id).0);
    let mut walk = Walk { data, at: 0, exchange, loose: target };
    walk.all(shape.as_bytes())?;
    if several { Err(Malformed) } else { Ok(machine) }
}

struct Walk<'a, E> {
    data: &'a mut [u8],
    at: usize,
    exchange: E,
    /// The machine of values without a tag.
    loose: Option<u16>,
}

impl<E: FnMut(u64) -> u64> Walk<'_, E> {
    fn all(&mut self, shape: &[u8]) -> Result<(), Malformed> {
        self.several(shape, 0)
    }

    fn several(&mut self, mut shape: &[u8], loose: usize) -> Result<(), Malformed> {
        while let Some((first, rest)) = shape.split_first() {
            shape = rest;
            if *first != b'*' {
                self.one(*first, loose)?;
                continue;
            }
            let end = rest.iter().position(|byte| *byte == b')').ok_or(Malformed)?;
            let item = &rest[1..end];
            shape = &rest[end + 1..];
            let count = self.count()?;
            // What has no tag ends where the packet does, and JDI sends such values one by one.
            let ids = 8 * item.iter().filter(|byte| **byte == b'i').count();
            let left = self.data.len().saturating_sub(self.at);
            let loose = left.checked_div(count).unwrap_or_default().saturating_sub(ids);
            for _ in 0..count {
                self.several(item, loose)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, shape: u8, loose: usize) -> Result<(), Malformed> {
        match shape {
            b'i' => self.id(),
            b'b' => self.skip(1),
            b'n' => self.skip(4),
            b'l' => self.skip(8),
            b's' => {
                let length = self.count()?;
                self.skip(length)
            }
            b't' | b'v' => {
                let tag = self.tag()?;
                self.value(tag)
            }
            b'L' => {
                self.skip(1)?;
                self.id()?;
                self.id()?;
                self.skip(8)
            }
            b'A' => {
                let tag = self.tag()?;
                for _ in 0..self.count()? {
                    match tag {
                        b'B' | b'Z' | b'C' | b'S' | b'I' | b'F' | b'J' | b'D' => self.value(tag)?,
                        _ => self.one(b'v', loose)?,
                    }
                }
                Ok(())
            }
            b'u' => self.untagged(loose),
            _ => Err(Malformed),
        }
    }

    fn value(&mut self, tag: u8) -> Result<(), Malformed> {
        match tag {
            b'[' | b'L' | b's' | b't' | b'g' | b'l' | b'c' => self.id(),
            b'B' | b'Z' => self.skip(1),
            b'C' | b'S' => self.skip(2),
            b'I' | b'F' => self.skip(4),
            b'J' | b'D' => self.skip(8),
            b'V' => Ok(()),
            // Absent, in replies of old machines.
            0 => self.id(),
            _ => Err(Malformed),
        }
    }

    /// One of eight bytes is taken for an object of its machine where it has that one's number: hardly any number is one of those.
    fn untagged(&mut self, size: usize) -> Result<(), Malformed> {
        let bytes = self.data.get(self.at..self.at + size).ok_or(Malformed)?;
        let machine = Reader(bytes).long().map(|value| theirs(value).0);
        match size {
            8 if machine == self.loose => self.id(),
            1 | 2 | 4 | 8 => self.skip(size),
            _ => Err(Malformed),
        }
    }

    fn id(&mut self) -> Result<(), Malformed> {
        let bytes = self.data.get_mut(self.at..self.at + 8).ok_or(Malformed)?;
        let id = Reader(bytes).long().ok_or(Malformed)?;
        bytes.copy_from_slice(&(self.exchange)(id).to_be_bytes());
        self.at += 8;
        Ok(())
    }

    fn tag(&mut self) -> Result<u8, Malformed> {
        self.skip(1)?;
        Ok(self.data[self.at - 1])
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        self.skip(4)?;
        Reader(&self.data[self.at - 4..]).int().map(|count| count as usize).ok_or(Malformed)
    }

    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.data.len()).ok_or(Malformed)?;
        self.at = end;
        Ok(())
    }
}
