//! An entry of a list that may grow at its end, as a length-prefixed record.

use crate::decode;
use alloc::vec::Vec;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

/// Encodes `T` with its length before it, so that a decoder can skip fields that it does not know and default
/// those that are missing even in the middle of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<T>(pub T);

impl<T: Serialize> Serialize for Record<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = postcard::to_allocvec(&self.0).map_err(ser::Error::custom)?;
        bytes.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Record<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        decode::body(&bytes).map(Self).map_err(D::Error::custom)
    }
}
