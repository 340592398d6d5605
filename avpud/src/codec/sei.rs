//! Supplemental enhancement information: what rides with pictures and no decoder needs (standard, annex D).

use super::bits::NalWriter;

/// A message of the kind `user_data_unregistered`: who made it is said by a UUID, the rest is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserData {
    uuid: [u8; UserData::UUID_LEN_BYTES],
    payload: [u8; UserData::PAYLOAD_LEN_MAX_BYTES],
    len: u8,
}

const NAL_SEI: u8 = 0x06;
const USER_DATA_UNREGISTERED: u8 = 5;
/// `rbsp_trailing_bits` where the messages end with a byte.
const TRAILING: u8 = 0x80;

impl UserData {
    /// Most bytes of a payload.
    pub const PAYLOAD_LEN_MAX_BYTES: usize = 64;
    /// Bytes of `uuid_iso_iec_11578`.
    pub const UUID_LEN_BYTES: usize = 16;

    /// A message; `None` when the UUID has another length or the payload is too long.
    pub fn new(uuid: &[u8], payload: &[u8]) -> Option<Self> {
        let mut stored = [0; Self::PAYLOAD_LEN_MAX_BYTES];
        stored.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(Self {
            uuid: uuid.try_into().ok()?,
            payload: stored,
            len: u8::try_from(payload.len()).ok()?,
        })
    }

    fn payload(&self) -> &[u8] {
        self.payload.get(..usize::from(self.len)).unwrap_or(&[])
    }

    fn write<const N: usize>(&self, units: &mut NalWriter<N>) {
        // Both fit one byte below 255, so neither needs the longer form.
        let uuid_len = u8::try_from(Self::UUID_LEN_BYTES).unwrap_or(u8::MAX);
        units.payload(&[USER_DATA_UNREGISTERED, uuid_len.saturating_add(self.len)]);
        units.payload(&self.uuid);
        units.payload(self.payload());
    }
}

const _: () = assert!(UserData::UUID_LEN_BYTES + UserData::PAYLOAD_LEN_MAX_BYTES < 255);

/// Writes one NAL unit with all of `messages`, or none when there are none.
pub fn write<'a, const N: usize>(
    units: &mut NalWriter<N>,
    messages: impl IntoIterator<Item = &'a UserData>,
) {
    let mut messages = messages.into_iter().peekable();
    if messages.peek().is_none() {
        return;
    }
    units.start(NAL_SEI);
    for message in messages {
        message.write(units);
    }
    units.payload(&[TRAILING]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_type_its_length_its_uuid_and_its_payload() {
        let uuid: Vec<u8> = (1..=16).collect();
        let data = UserData::new(&uuid, b"hi").expect("user data");
        let mut units = NalWriter::<64>::new();
        write(&mut units, [&data]);
        let mut expected = vec![0, 0, 0, 1, 6, 5, 18];
        expected.extend(&uuid);
        expected.extend(*b"hi\x80");
        assert_eq!(units.bytes().expect("room"), expected);
    }

    #[test]
    fn forbidden_patterns_in_a_payload_are_escaped() {
        let data = UserData::new(&[0; 16], &[0, 0, 1]).expect("user data");
        let mut units = NalWriter::<64>::new();
        write(&mut units, [&data]);
        let unit = units.bytes().expect("room").get(4..).expect("a unit");
        let forbidden = |w: &[u8]| matches!(w, [0, 0, 0..=2]);
        assert!(!unit.windows(3).any(forbidden), "{unit:02x?}");
    }

    #[test]
    fn a_uuid_of_another_length_and_a_payload_too_long_are_refused() {
        assert!(UserData::new(&[0; 15], b"x").is_none());
        assert!(UserData::new(&[0; 16], &[0; UserData::PAYLOAD_LEN_MAX_BYTES + 1]).is_none());
    }

    #[test]
    fn without_messages_there_is_no_unit() {
        let mut units = NalWriter::<8>::new();
        write(&mut units, []);
        assert!(units.bytes().expect("room").is_empty());
    }
}
