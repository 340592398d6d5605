//! Memory of other allocators and drivers as a source of frames.

use crate::client::{Client, mismatch};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::ledger::{Key, RegionKind, RegionSlot};
use crate::state::Tag;
use avpu_proto::reply::Reply;
use avpu_proto::request::{ImportBuffer, RegisterRegion, Request, UnregisterRegion};
use avpu_proto::types::Address;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A registered source region; dropping it unregisters.
#[derive(Debug)]
pub struct Region {
    connection: Arc<Connection>,
    key: Key,
}

impl Client {
    /// Registers memory that another allocator owns, so that frames in it may be submitted by address.
    ///
    /// # Errors
    /// When the daemon refuses: it needs the raw-address right and a source window that holds the memory.
    pub fn register_region(&self, address: Address, len_bytes: u32) -> Result<Region, ClientError> {
        let request = RegisterRegion { address, len_bytes };
        self.region(RegionKind::Memory(request))
    }

    /// Registers a buffer of another driver (dma-buf) of at least `len_bytes` as a source of frames, until the result is
    /// dropped; [`Region::address`] says where frames in it lie. After a reconnect it may lie elsewhere.
    ///
    /// # Errors
    /// When the device's kernel does not take it, or the daemon refuses.
    pub fn import_buffer(&self, buffer: OwnedFd, len_bytes: u32) -> Result<Region, ClientError> {
        self.region(RegionKind::Buffer {
            request: ImportBuffer { len_bytes },
            descriptor: buffer,
            address: Address::default(),
        })
    }

    fn region(&self, what: RegionKind) -> Result<Region, ClientError> {
        let mut state = self.connection().lock();
        let key = state.ledger.key();
        let region = None;
        state
            .ledger
            .regions
            .insert(key, RegionSlot { what, region });
        drop(state);
        let region = Region {
            connection: Arc::clone(self.connection()),
            key,
        };
        register_on_wire(self.connection(), key)?;
        Ok(region)
    }
}

impl Region {
    /// Its first byte.
    #[must_use]
    pub fn address(&self) -> Address {
        let state = self.connection.lock();
        let slot = state.ledger.regions.get(&self.key);
        slot.map_or(Address::default(), |slot| match &slot.what {
            RegionKind::Memory(request) => request.address,
            RegionKind::Buffer { address, .. } => *address,
        })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let slot = self.connection.lock().ledger.regions.remove(&self.key);
        if let Some(region) = slot.and_then(|slot| slot.region) {
            let request = Request::UnregisterRegion(UnregisterRegion { region });
            self.connection.mention(&request);
        }
    }
}

pub(crate) fn register_on_wire(connection: &Connection, key: Key) -> Result<(), ClientError> {
    let slot = connection.lock().ledger.regions.get(&key).map(request_of);
    let (request, rider) = slot.ok_or(ClientError::Disconnected)??;
    let reply = match rider {
        Some(rider) => connection.call_with(&request, rider)?,
        None => connection.call(&request, Tag::Wait)?.0,
    };
    let Reply::RegionRegistered(registered) = reply else {
        return Err(mismatch("RegisterRegion"));
    };
    if let Some(slot) = connection.lock().ledger.regions.get_mut(&key) {
        slot.region = Some(registered.region);
        if let RegionKind::Buffer { address, .. } = &mut slot.what {
            *address = registered.address;
        }
    }
    Ok(())
}

/// What registers a region, and the descriptor that rides with it.
fn request_of(slot: &RegionSlot) -> Result<(Request, Option<OwnedFd>), ClientError> {
    match &slot.what {
        RegionKind::Memory(request) => Ok((Request::RegisterRegion(*request), None)),
        RegionKind::Buffer {
            request,
            descriptor,
            ..
        } => Ok((
            Request::ImportBuffer(*request),
            Some(descriptor.try_clone()?),
        )),
    }
}
