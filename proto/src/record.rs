//! An entry of a list that may grow at its end, as a length-prefixed record.

use crate::decode;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

/// Encodes `T` with its length before it, so that a decoder can skip fields that it does not know and default
/// those that are missing even in the middle of a list. In formats for people it is just `T`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<T>(pub T);

impl<T: Serialize> Serialize for Record<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        let bytes = postcard::to_allocvec(&self.0).map_err(ser::Error::custom)?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Record<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return T::deserialize(deserializer).map(Self);
        }
        deserializer.deserialize_bytes(RecordVisitor(PhantomData))
    }
}

struct RecordVisitor<T>(PhantomData<T>);

impl<T: DeserializeOwned> Visitor<'_> for RecordVisitor<T> {
    type Value = Record<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record with its length before it")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Record<T>, E> {
        decode::extended(bytes).map(Record).map_err(E::custom)
    }
}
