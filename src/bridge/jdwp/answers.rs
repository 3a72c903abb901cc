//! What a client is answered where no virtual machine is there to be asked.

use super::packet::{Data, Reader};

/// What all machines say alike, as far as one has said it.
#[derive(Debug, Clone, Default)]
pub(super) struct Nature {
    version: Option<Vec<u8>>,
    capabilities: Option<Vec<u8>>,
    paths: Option<Vec<u8>>,
}

impl Nature {
    /// The commands whose answers are kept, for as long as there is no machine.
    pub(super) const QUESTIONS: [(u8, u8); 3] = [(1, 1), (1, 13), (1, 17)];

    /// Takes in a machine's answer to one of them.
    pub(super) fn learn(&mut self, question: (u8, u8), answer: Vec<u8>) {
        match question {
            (1, 1) => self.version = Some(answer),
            (1, 13) => self.paths = Some(answer),
            (1, 17) => self.capabilities = Some(answer),
            _ => {}
        }
    }

    /// The answer to a command that concerns no object. None where there can be no answer.
    pub(super) fn answer(&self, command: (u8, u8)) -> Option<Vec<u8>> {
        let empty = || Data::default().int(0).0;
        Some(match command {
            (1, 1) => self.version.clone().unwrap_or_else(version),
            // No class, no thread, no group of threads, no module.
            (1, 2 | 4 | 5 | 21 | 22) => empty(),
            (1, 3) => Data::default().int(1).byte(1).long(NOBODY_S).text(NO_CLASS).int(7).0,
            (1, 20) => Data::default().int(1).byte(1).long(NOBODY_S).text(NO_CLASS).text("").int(7).0,
            (1, 7) => Data::default().int(8).int(8).int(8).int(8).int(8).0,
            (1, 12) => self.capabilities()[..7].to_vec(),
            (1, 13) => self.paths.clone().unwrap_or_else(|| Data::default().text("/").int(0).int(0).0),
            (1, 17) => self.capabilities(),
            (1, 8 | 9 | 14 | 15 | 16 | 19) | (15, 2 | 3) => Vec::new(),
            _ => return None,
        })
    }

    fn capabilities(&self) -> Vec<u8> {
        let known = self.capabilities.clone().filter(|known| known.len() == 32);
        known.unwrap_or_else(|| CAPABILITIES.to_vec())
    }
}

/// What is answered about threads and classes of processes that have gone. `jdb` takes it for granted that its current thread has a name, and ends
/// where it has none.
pub(super) fn of_the_gone(command: (u8, u8)) -> Option<Vec<u8>> {
    Some(match command {
        // It asks for the names of all its classes before it forgets one.
        (2, 1) => Data::default().text("Lsst/Ended;").0,
        (2, 13) => Data::default().text("Lsst/Ended;").text("").0,
        (11, 1) => Data::default().text("ended").0,
        (11, 3) => Vec::new(),
        // A zombie, and not suspended.
        (11, 4) => Data::default().int(0).int(0).0,
        (11, 12) => Data::default().int(0).0,
        _ => return None,
    })
}

/// A class that is there while no process is. Java's own debugger interface takes it for granted that there is one.
const NO_CLASS: &str = "Lsst/NoProcess;";

/// An id of it, which no machine has.
const NOBODY_S: u64 = 1;

/// What HotSpot can do since Java 11; the same up to 25, where redefining classes goes no further than bodies of methods.
const CAPABILITIES: [u8; 32] =
    [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Clients ask for less where the version is older, and for nothing that HotSpot 17 does not have where it is this.
fn version() -> Vec<u8> {
    let description =
        "Java Debug Wire Protocol (Reference Implementation) version 17.0\nJVM Debug Interface version 17.0";
    Data::default().text(description).int(17).int(0).text("17").text("OpenJDK 64-Bit Server VM").0
}

/// The size in bytes of ids that we know how to tell apart, for each kind.
pub(super) fn has_long_ids(sizes: &[u8]) -> bool {
    let mut reader = Reader(sizes);
    (0..5).all(|_| reader.int() == Some(8))
}

#[cfg(test)]
mod tests {
    use super::{super::shape::of_command, *};

    #[test]
    fn answers_have_the_shape_of_a_machine_s() {
        let nature = Nature::default();
        for set in 1..=18 {
            for command in 1..=30 {
                let Some(mut answer) = nature.answer((set, command)) else { continue };
                let shape = of_command((set, command)).unwrap().1;
                let length = answer.len();
                assert_eq!(
                    super::super::shape::to_client(1, shape, &mut answer),
                    Ok(length),
                    "{set} {command}"
                );
            }
        }
        assert!(nature.answer((2, 1)).is_none() && has_long_ids(&nature.answer((1, 7)).unwrap()));
    }
}
