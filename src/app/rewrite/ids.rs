//! The logical ids of what is added to a template.

use sst_wire::sha256_hex;

/// The longest logical id that CloudFormation takes.
const LIMIT: usize = 255;

/// What is left free of that, since an id that is taken already is made longer.
const SPARE: usize = 7;

/// A logical id made of another one and what is told apart by `suffix`. One that would be too long is cut, and a hash of what it was
/// keeps it apart from others that begin the same.
pub(super) fn logical_id(prefix: &str, suffix: &str) -> String {
    let whole = format!("{prefix}{suffix}");
    if whole.len() <= LIMIT - SPARE {
        return whole;
    }
    let hash = &sha256_hex(whole.as_bytes())[..8];
    // Names of CloudFormation have ASCII letters and digits only, but templates are written by others.
    let end = prefix.floor_char_boundary((LIMIT - SPARE).saturating_sub(hash.len() + suffix.len()));
    let suffix = &suffix[..suffix.floor_char_boundary(LIMIT - SPARE - hash.len() - end)];
    format!("{}{hash}{suffix}", &prefix[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_too_long_is_cut_and_stays_one_of_a_kind() {
        let long = "x".repeat(248);
        for (prefix, suffix) in
            [(long.as_str(), "SstVersion"), ("SstStubPolicy", long.as_str()), (&long, &long)]
        {
            let id = logical_id(prefix, suffix);
            let limit = LIMIT - SPARE;
            assert_eq!(id.len(), limit, "{id}");
            let other = logical_id(&format!("{}z", &prefix[..prefix.len() - 1]), suffix);
            assert!(id != other && other.len() == limit, "{other}");
        }
        assert!(logical_id(&long, "SstVersion").ends_with("SstVersion"));
        assert_eq!(logical_id("Function", "SstVersion"), "FunctionSstVersion");
        let exact = "x".repeat(LIMIT - SPARE - 10);
        assert_eq!(logical_id(&exact, "SstVersion"), format!("{exact}SstVersion"));
        assert!(logical_id(&"ä".repeat(200), "SstVersion").len() <= LIMIT);
    }
}
