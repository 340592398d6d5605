//! Checksums of parameter buffers and bytes of headers, where a recording gives them.
//!
//! These are not words of a list. They are shown, and not counted.

use avpud::codec::avc::slice_header;
use avpud::codec::gop::Place;
use avpud::hw::layout::Ep3Bank;
use avpud::hw::tables::{ep1, ep2, ep3};
use avpud::picture::{Entropy, Qp, RateControl};
use sha2::{Digest, Sha256};

use super::record::Tables;

/// What of the parameter buffers was compared, and whether it is equal.
#[must_use]
pub fn compare_tables(tables: &Tables, rate_control: RateControl) -> Vec<(String, bool)> {
    let mut compared = Vec::new();
    if let Some((sum, len)) = &tables.ep1 {
        let mut bytes = ep1(rate_control);
        bytes.resize(*len, 0);
        compared.push(("ep1".to_owned(), hex(&Sha256::digest(bytes)) == *sum));
    }
    if let Some(recorded) = &tables.ep2 {
        let mut bytes = ep2(rate_control).to_vec();
        bytes.resize(recorded.len() / 2, 0);
        compared.push(("ep2".to_owned(), hex(&bytes) == *recorded));
    }
    if let (Some(sums), Some(target)) = (&tables.ep3, rate_control.target()) {
        for (bank, sum) in Ep3Bank::ALL.into_iter().zip(sums) {
            let equal = hex(&Sha256::digest(ep3(bank, target))) == *sum;
            compared.push((format!("ep3 bank {}", bank.index()), equal));
        }
    }
    compared
}

/// Whether the recorded bytes before the slice data end with our slice header. Only with CABAC, where
/// the header stays whole; parameter sets are not compared, because theirs hold another level and
/// promises that we do not make.
#[must_use]
pub fn ends_with_slice_header(header_hex: &str, place: Place, qp: Qp) -> Option<bool> {
    let header = slice_header(place, qp, Entropy::Cabac).ok()?;
    let nal_byte = if place.index == 0 { "25" } else { "21" };
    let ours = format!("00000001{nal_byte}{}", hex(header.bytes()));
    Some(header_hex.to_ascii_lowercase().ends_with(&ours))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
