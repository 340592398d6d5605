//! Source memory comes and goes: leased buffers and registered regions.

use crate::core::broker::{Answer, Broker};
use crate::core::config::CHANNEL_ALIGNMENT;
use crate::core::event::{Attach, LeaseKey, Output, SessionKey};
use crate::core::refusal::Refusal;
use crate::core::sources::{Asker, Buffers, SourceLease};
use crate::mem::addr::{ByteLen, PhysAddr};
use avpu_proto::limits::{LEASE_BUFFERS_MAX, LEASES_MAX, REGIONS_MAX};
use avpu_proto::reply::{BuffersLeased, LeasedBuffer, RegionRegistered, Reply};
use avpu_proto::report::Purpose;
use avpu_proto::request::{LeaseBuffers, RegisterRegion};
use avpu_proto::types::{Address, BufferAccess, LeaseId, RegionId, Role};

impl Broker {
    pub(super) fn lease_buffers(
        &mut self,
        Asker { session, peer, .. }: Asker,
        request: u16,
        wish: LeaseBuffers,
    ) -> Answer {
        self.check_serving()?;
        let key = self.owned(session, wish.channel)?;
        let count = wish.count.max(1);
        let at_most = |what, max| Refusal::Limit { what, max };
        if count > LEASE_BUFFERS_MAX {
            return Err(at_most("buffers of a lease", LEASE_BUFFERS_MAX.into()));
        }
        let (held, held_bytes) = self.sources.leases_of(session);
        if held >= LEASES_MAX {
            return Err(at_most("leases of one connection", LEASES_MAX.into()));
        }
        let leases_max = self.config.leases_max;
        if self.sources.lease_count() >= leases_max {
            return Err(at_most(
                "leases of all connections, as the daemon may have no more files open",
                leases_max,
            ));
        }
        let layout = self.channel(key).map(|channel| {
            let size = channel.parameters.setup.geometry.visible();
            self.source_layout(size)
        });
        let layout = layout.ok_or(Refusal::NoSuchChannel(wish.channel))?;
        let len = ByteLen::new(layout.len_bytes);
        let step = len.align_up(CHANNEL_ALIGNMENT).ok();
        let total = step.and_then(|step| step.value().checked_mul(u32::from(count)));
        let (Some(step), Some(total)) = (step, total) else {
            return Err(Refusal::NoMemory {
                wanted: ByteLen::new(u32::MAX),
                largest_free: self.pool.largest_free(),
            });
        };
        let bytes_max = self.config.client_limits.lease_bytes.value();
        if held_bytes + u64::from(total) > u64::from(bytes_max) {
            return Err(Refusal::LeaseBytes {
                held: held_bytes,
                wanted: u64::from(total),
                max: u64::from(bytes_max),
            });
        }
        let memory =
            self.lease_memory(ByteLen::new(total), Purpose::Source, peer.pid, wish.channel)?;
        let range = memory.range();
        let buffers = Buffers {
            layout,
            len,
            step,
            count,
        };
        let lease = self
            .sources
            .add_lease(|key| SourceLease::granting(key, (session, peer), memory, buffers, request));
        self.push(Output::GrantLease {
            lease,
            memory: range,
        });
        Ok(None)
    }

    pub(super) fn handle_lease_granted(
        &mut self,
        key: LeaseKey,
        result: Result<BufferAccess, String>,
    ) {
        let Some(lease) = self.sources.lease_mut(key) else {
            return;
        };
        let Some(grant) = lease.granting.take() else {
            return;
        };
        let access = match (lease.owner, result) {
            (Some(owner), Ok(access)) => {
                let answer = self.leased_reply(key, owner, access);
                if let Some((reply, attach)) = answer {
                    self.reply(owner, grant.request, reply, attach);
                }
                return;
            }
            (Some(owner), Err(sentence)) => {
                self.refuse(owner, grant.request, &Refusal::Internal(sentence));
                None
            }
            (None, Ok(access)) => Some(access),
            (None, Err(_)) => None,
        };
        let Some(lease) = self.sources.remove_lease(key) else {
            return;
        };
        match access {
            Some(_) => self.take_back_returned(lease),
            None => self.pool.release(lease.memory),
        }
    }

    pub(super) fn return_lease(&mut self, session: SessionKey, id: LeaseId) -> Answer {
        let lease = self.sources.return_lease(session, id)?;
        self.take_back_returned(lease);
        Ok(Some(Reply::Done))
    }

    pub(super) fn register_region(&mut self, asker: Asker, wish: RegisterRegion) -> Answer {
        self.check_serving()?;
        if self.sources.regions.count_of(asker.session) >= usize::from(REGIONS_MAX) {
            return Err(Refusal::Limit {
                what: "regions of one connection",
                max: u32::from(REGIONS_MAX),
            });
        }
        let address = PhysAddr::new(wish.address.value());
        let len = ByteLen::new(wish.len_bytes);
        let region = self.sources.register(asker, address, len)?;
        Ok(Some(Reply::RegionRegistered(RegionRegistered {
            region,
            address: Address::default(),
        })))
    }

    pub(super) fn unregister_region(&mut self, session: SessionKey, id: RegionId) -> Answer {
        self.sources.unregister(session, id)?;
        Ok(Some(Reply::Done))
    }

    fn leased_reply(
        &mut self,
        key: LeaseKey,
        owner: SessionKey,
        access: BufferAccess,
    ) -> Option<(Reply, Attach)> {
        let raw = self.sessions.get(&owner)?.role >= Role::Raw;
        let lease = self.sources.lease_mut(key)?;
        lease.is_open = !matches!(access, BufferAccess::Descriptor { .. });
        let Buffers { layout, step, .. } = lease.buffers;
        let buffers = (0_u64..)
            .zip(lease.pictures())
            .map(|(index, buffer)| LeasedBuffer {
                address: Address::new(buffer.start().value()),
                access: access_of(&access, index * u64::from(step.value()), raw),
            })
            .collect();
        let (attach, write_back) = match access {
            BufferAccess::Descriptor { cached, .. } => (Attach::Lease(key), cached),
            BufferAccess::PhysicalDevice { cached, .. } => (Attach::Nothing, cached && raw),
            BufferAccess::None => (Attach::Nothing, false),
        };
        let reply = Reply::BuffersLeased(BuffersLeased {
            lease: LeaseId::new(key.value()),
            buffers,
            layout,
            write_back,
        });
        Some((reply, attach))
    }
}

/// How the buffer `further` bytes into a lease is reached; a device of physical memory only with the raw right.
fn access_of(first: &BufferAccess, further: u64, raw: bool) -> BufferAccess {
    match first {
        BufferAccess::Descriptor {
            offset_bytes,
            cached,
        } => BufferAccess::Descriptor {
            offset_bytes: offset_bytes.saturating_add(further),
            cached: *cached,
        },
        BufferAccess::PhysicalDevice {
            path,
            offset_bytes,
            cached,
        } if raw => BufferAccess::PhysicalDevice {
            path: path.clone(),
            offset_bytes: offset_bytes.saturating_add(further),
            cached: *cached,
        },
        BufferAccess::PhysicalDevice { .. } | BufferAccess::None => BufferAccess::None,
    }
}
