//! Memory that an operator takes back: leases of clients, and pieces in quarantine.

use super::options::{Command, UsageError};
use super::show;
use crate::{Client, ClientError};
use avpu_proto::report::{LeaseReport, Purpose};
use avpu_proto::types::{Address, LeaseId};
use std::time::Duration;

/// The words behind `revoke`: a lease, and milliseconds that its holder has.
pub(super) fn revoke(words: &mut impl Iterator<Item = String>) -> Result<Command, UsageError> {
    let lease = words.next().ok_or(UsageError::ValueMissing("revoke"))?;
    let lease = match lease.parse() {
        Ok(number) => LeaseId::new(number),
        Err(_) => return Err(UsageError::Number("the number of a lease", lease)),
    };
    let grace = match words.next().map(|word| (word.parse(), word)) {
        None => None,
        Some((Ok(ms @ 1..=GRACE_MS_MAX), _)) => Some(Duration::from_millis(ms)),
        Some((_, word)) => return Err(UsageError::Number("1 to 4000000 milliseconds", word)),
    };
    Ok(Command::Revoke(lease, grace))
}

/// The words behind `quarantine`: nothing, or `release` and an address.
pub(super) fn quarantine(words: &mut impl Iterator<Item = String>) -> Result<Command, UsageError> {
    match words.next().as_deref() {
        None => Ok(Command::Quarantine),
        Some("release") => {
            let word = words.next().ok_or(UsageError::ValueMissing("release"))?;
            let address = match word.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => word.parse(),
            };
            match address {
                Ok(address) => Ok(Command::ReleaseQuarantine(Address::new(address))),
                Err(_) => Err(UsageError::Number("an address like 0x06300000", word)),
            }
        }
        Some(other) => Err(UsageError::Number("release or nothing", other.to_owned())),
    }
}

/// Revokes a lease; answers what to say.
pub(super) fn take(
    client: &Client,
    lease: LeaseId,
    grace: Option<Duration>,
) -> Result<String, ClientError> {
    client.revoke(lease, grace)?;
    let ms = grace.map_or(1000, |grace| grace.as_millis());
    Ok(format!(
        "lease {lease} goes back within {ms} ms, or when the encoder is done with it\n"
    ))
}

/// The pieces in quarantine, as a table.
pub(super) fn show(leases: &[LeaseReport]) -> (Vec<LeaseReport>, String) {
    let held = |lease: &&LeaseReport| lease.purpose == Purpose::Quarantine;
    let held: Vec<LeaseReport> = leases.iter().filter(held).cloned().collect();
    let text = if held.is_empty() {
        "nothing is in quarantine\n".to_owned()
    } else {
        show::leases(&held)
    };
    (held, text)
}

/// As many as 32 bits of microseconds hold.
const GRACE_MS_MAX: u64 = 4_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> std::vec::IntoIter<String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.into_iter()
    }

    #[test]
    fn a_lease_is_revoked_at_once_or_in_a_while() {
        let lease = LeaseId::new(7);
        assert_eq!(revoke(&mut words("7")), Ok(Command::Revoke(lease, None)));
        let grace = Some(Duration::from_millis(250));
        let later = Command::Revoke(lease, grace);
        assert_eq!(revoke(&mut words("7 250")), Ok(later));
        for wrong in ["", "main", "7 0", "7 4000001", "7 soon"] {
            assert!(revoke(&mut words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quarantine_is_listed_or_released_by_address() {
        assert_eq!(quarantine(&mut words("")), Ok(Command::Quarantine));
        let release = Command::ReleaseQuarantine(Address::new(0x630_0000));
        for address in ["0x06300000", "103809024"] {
            let text = format!("release {address}");
            assert_eq!(quarantine(&mut words(&text)), Ok(release.clone()));
        }
        for wrong in ["release", "release there", "free 1"] {
            assert!(quarantine(&mut words(wrong)).is_err(), "{wrong}");
        }
    }
}
