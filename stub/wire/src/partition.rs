//! The partitions of AWS: where the names of its endpoints end, and ARNs begin, by the region.

/// A part of AWS that is by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// What ARNs begin with after `arn:`.
    pub name: &'static str,
    /// What the names of endpoints end with.
    pub suffix: &'static str,
}

/// What the names of a partition's regions begin with, its name, and its suffix: as botocore's `partitions.json` says, which
/// `tests/infra` compares it with. All other regions are of the first partition.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
];

/// The partition of a region.
#[must_use]
pub fn partition(region: &str) -> Partition {
    let found = PARTITIONS.iter().find(|(beginning, ..)| region.starts_with(beginning));
    found.map_or(Partition { name: "aws", suffix: "amazonaws.com" }, |(_, name, suffix)| Partition {
        name,
        suffix,
    })
}
