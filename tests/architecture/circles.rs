//! Modules that use one another, so that none can be understood without the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Tree, paths};

type Uses = BTreeMap<String, BTreeSet<String>>;

/// Circles among the modules that are beside each other in a room. A room's own file is left out: it may use its modules, and they what
/// it defines for all.
pub(crate) fn circles(tree: &Tree) -> Vec<String> {
    let mut rooms: BTreeMap<&[String], Uses> = BTreeMap::new();
    for (said, path) in paths(tree).filter(|(_, path)| path[0] == "crate") {
        let user = &said.module.path;
        let common = user.iter().zip(&path[1..]).take_while(|(one, other)| one == other).count();
        let (Some(from), Some(to)) = (user.get(common), path.get(common + 1)) else { continue };
        let room = &user[..common];
        // The rooms themselves are a matter of other rules.
        if common > 0 && tree.modules.contains_key(&[room, std::slice::from_ref(to)].concat()) {
            rooms.entry(room).or_default().entry(from.clone()).or_default().insert(to.clone());
        }
    }
    let mut found = Vec::new();
    for (room, uses) in rooms {
        for circle in circles_of(&uses) {
            found.push(format!("in `{}` these use one another: {}", room.join("::"), circle.join(", ")));
        }
    }
    found
}

/// The sets of those that reach one another.
fn circles_of(uses: &Uses) -> BTreeSet<Vec<&str>> {
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(next) = open.pop() {
            for to in uses.get(next).into_iter().flatten() {
                if reached.insert(to.as_str()) {
                    open.push(to);
                }
            }
        }
        reached
    };
    let all: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|from| (from.as_str(), reached(from))).collect();
    let circles = all.iter().map(|(from, others)| {
        let back = |other: &&str| all.get(other).is_some_and(|back| back.contains(from));
        others.iter().copied().filter(back).collect::<Vec<_>>()
    });
    circles.filter(|circle| circle.len() > 1).collect()
}
