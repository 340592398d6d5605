//! Descriptors that clients bring, and where the device finds what is behind them.

use super::Server;
use crate::core::event::{ImportKey, NotImported, SessionKey};
use crate::device::Device;
use crate::device::error::ImportError;
use crate::mem::addr::{ByteLen, PhysRange};
use slog::warn;

/// What was imported and is not released.
#[derive(Debug, Default)]
pub(super) struct Imports(Vec<(ImportKey, PhysRange)>);

impl<D: Device> Server<D> {
    /// Gives the device the descriptor that rode with the request of `session` that is being answered.
    pub(super) fn import(
        &mut self,
        key: ImportKey,
        session: SessionKey,
        len: ByteLen,
    ) -> Result<PhysRange, NotImported> {
        let entry = self.peers.get(session);
        let buffer = entry.and_then(|entry| entry.connection.take_rider());
        let buffer = buffer.ok_or_else(|| {
            NotImported::Failed("expected a descriptor with the request, found none".to_owned())
        })?;
        let imported = self.engine.device().import(buffer, len);
        let range = imported.map_err(|error| match error {
            ImportError::Unsupported { reason } => NotImported::Unsupported(reason),
            ImportError::Device(error) => NotImported::Failed(error.to_string()),
        })?;
        self.imports.0.push((key, range));
        Ok(range)
    }

    pub(super) fn release_import(&mut self, key: ImportKey) {
        let index = self.imports.0.iter().position(|(held, _)| *held == key);
        let Some(index) = index else {
            return;
        };
        let (_, range) = self.imports.0.swap_remove(index);
        if let Err(cause) = self.engine.device().release(range) {
            warn!(self.log, "imported memory was not released"; "cause" => %cause);
        }
    }
}
