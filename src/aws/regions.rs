//! The regions that AWS has. A name that is none of them may be that of a region that is newer than this program, if it has the form of one.

use crate::error::{Error, Kind, Result};

/// The regions, and what AWS calls them: as botocore's `partitions.json` says, which `tests/infra` compares it with.
const REGIONS: [(&str, &str); 48] = [
    ("af-south-1", "Africa (Cape Town)"),
    ("ap-east-1", "Asia Pacific (Hong Kong)"),
    ("ap-east-2", "Asia Pacific (Taipei)"),
    ("ap-northeast-1", "Asia Pacific (Tokyo)"),
    ("ap-northeast-2", "Asia Pacific (Seoul)"),
    ("ap-northeast-3", "Asia Pacific (Osaka)"),
    ("ap-south-1", "Asia Pacific (Mumbai)"),
    ("ap-south-2", "Asia Pacific (Hyderabad)"),
    ("ap-southeast-1", "Asia Pacific (Singapore)"),
    ("ap-southeast-2", "Asia Pacific (Sydney)"),
    ("ap-southeast-3", "Asia Pacific (Jakarta)"),
    ("ap-southeast-4", "Asia Pacific (Melbourne)"),
    ("ap-southeast-5", "Asia Pacific (Malaysia)"),
    ("ap-southeast-6", "Asia Pacific (New Zealand)"),
    ("ap-southeast-7", "Asia Pacific (Thailand)"),
    ("ca-central-1", "Canada (Central)"),
    ("ca-west-1", "Canada West (Calgary)"),
    ("eu-central-1", "Europe (Frankfurt)"),
    ("eu-central-2", "Europe (Zurich)"),
    ("eu-north-1", "Europe (Stockholm)"),
    ("eu-south-1", "Europe (Milan)"),
    ("eu-south-2", "Europe (Spain)"),
    ("eu-west-1", "Europe (Ireland)"),
    ("eu-west-2", "Europe (London)"),
    ("eu-west-3", "Europe (Paris)"),
    ("il-central-1", "Israel (Tel Aviv)"),
    ("me-central-1", "Middle East (UAE)"),
    ("me-south-1", "Middle East (Bahrain)"),
    ("me-west-1", "Middle East (Saudi Arabia)"),
    ("mx-central-1", "Mexico (Central)"),
    ("sa-east-1", "South America (Sao Paulo)"),
    ("sa-west-1", "South America (Chile)"),
    ("us-east-1", "US East (N. Virginia)"),
    ("us-east-2", "US East (Ohio)"),
    ("us-west-1", "US West (N. California)"),
    ("us-west-2", "US West (Oregon)"),
    ("cn-north-1", "China (Beijing)"),
    ("cn-northwest-1", "China (Ningxia)"),
    ("eusc-de-east-1", "AWS European Sovereign Cloud (Germany)"),
    ("us-iso-east-1", "US ISO East"),
    ("us-iso-west-1", "US ISO WEST"),
    ("us-isob-east-1", "US ISOB East (Ohio)"),
    ("us-isob-west-1", "US ISOB West"),
    ("eu-isoe-west-1", "EU ISOE West"),
    ("us-isof-east-1", "US ISOF EAST"),
    ("us-isof-south-1", "US ISOF SOUTH"),
    ("us-gov-east-1", "AWS GovCloud (US-East)"),
    ("us-gov-west-1", "AWS GovCloud (US-West)"),
];

/// How many letters a name may differ in to be taken for another one.
const ALIKE: usize = 3;

/// Refuses what has not the form of a region's name.
///
/// # Errors
/// [`Kind::Usage`], with the region that may be meant.
pub(super) fn check(name: &str) -> Result<()> {
    let known = REGIONS.iter().any(|(region, _)| *region == name);
    if known || has_form(name) {
        return Ok(());
    }
    let hint = match nearest(name).as_slice() {
        [] => "regions have names such as `us-east-1`".to_owned(),
        found => format!("did you mean {}?", listed(found)),
    };
    Err(Error::new(Kind::Usage, format!("`{name}` is not a region of AWS")).hint(hint))
}

/// What can be said of a region where none of its services is to be found: nothing, if it is known.
pub(super) fn doubt(name: &str) -> Option<String> {
    if REGIONS.iter().any(|(region, _)| *region == name) {
        return None;
    }
    let found = nearest(name);
    let instead =
        if found.is_empty() { String::new() } else { format!(": did you mean {}?", listed(&found)) };
    Some(format!("there may be no region `{name}`{instead}"))
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
fn has_form(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    (2..=3).contains(&words.len())
        && words.iter().all(is_word)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The regions that a name may mean: by the place that it is, or by a few letters.
fn nearest(name: &str) -> Vec<(&'static str, &'static str)> {
    let wanted = name.to_lowercase();
    let letters =
        |text: &str| -> String { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let place = letters(&wanted);
    let by_place: Vec<_> =
        REGIONS.into_iter().filter(|(_, title)| place.len() > 3 && letters(title).contains(&place)).collect();
    if !by_place.is_empty() {
        return by_place;
    }
    let distance = |region: &str| strsim::damerau_levenshtein(region, &wanted);
    let least = REGIONS.iter().map(|(region, _)| distance(region)).min().unwrap_or_default();
    if least > ALIKE {
        return Vec::new();
    }
    REGIONS.into_iter().filter(|(region, _)| distance(region) == least).take(3).collect()
}

fn listed(regions: &[(&str, &str)]) -> String {
    let all: Vec<String> = regions.iter().map(|(region, title)| format!("`{region}`, {title}")).collect();
    all.join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_a_slip_are_answered_with_the_region() {
        for (name, hint) in [
            ("Frankfurt", "did you mean `eu-central-1`, Europe (Frankfurt)?"),
            ("frankfurt", "did you mean `eu-central-1`, Europe (Frankfurt)?"),
            ("N. Virginia", "did you mean `us-east-1`, US East (N. Virginia)?"),
            ("eu_central_1", "did you mean `eu-central-1`, Europe (Frankfurt)?"),
            ("EU-CENTRAL-1", "did you mean `eu-central-1`, Europe (Frankfurt)?"),
            ("eu-central-1a", "did you mean `eu-central-1`, Europe (Frankfurt)?"),
            ("useast1", "did you mean `us-east-1`, US East (N. Virginia)?"),
            ("", "regions have names such as `us-east-1`"),
            ("nowhere at all", "regions have names such as `us-east-1`"),
        ] {
            let error = check(name).unwrap_err();
            assert_eq!(error.message, format!("`{name}` is not a region of AWS"));
            assert_eq!(error.hint.as_deref(), Some(hint), "{name}");
        }
    }

    #[test]
    fn what_may_be_new_is_tried() {
        for name in ["us-east-1", "us-gov-west-1", "eusc-de-east-1", "us-east-9", "eu-mars-12"] {
            assert!(check(name).is_ok(), "{name}");
        }
        assert_eq!(doubt("us-east-1"), None);
        assert_eq!(
            doubt("us-east-9").as_deref(),
            Some(
                "there may be no region `us-east-9`: did you mean `us-east-1`, US East (N. Virginia), or `us-east-2`, US East (Ohio)?"
            )
        );
        assert_eq!(doubt("xx-moon-1").as_deref(), Some("there may be no region `xx-moon-1`"));
    }
}
