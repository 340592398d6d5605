//! Memory of another driver becomes a region: the client brings a descriptor, the kernel says where the memory lies.
//!
//! The kernel says only where the first byte lies, so what follows it is checked as far as it can be: outside of what is
//! the daemon's or another client's, and outside of the kernel's own memory unless the super-user asks.

use crate::core::broker::{Answer, Broker};
use crate::core::event::{Attach, ImportKey, NotImported, Output, SessionKey};
use crate::core::refusal::Refusal;
use crate::core::regions::Claimant;
use crate::core::sources::Imported;
use crate::mem::addr::{ByteLen, PhysRange};
use avpu_proto::limits::REGIONS_MAX;
use avpu_proto::reply::{RegionRegistered, Reply};
use avpu_proto::request::ImportBuffer;
use avpu_proto::types::Address;

/// An import that the shell was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Importing {
    key: ImportKey,
    session: SessionKey,
    request: u16,
}

impl Broker {
    pub(super) fn import_buffer(
        &mut self,
        session: SessionKey,
        request: u16,
        wish: ImportBuffer,
    ) -> Answer {
        self.check_serving()?;
        if self.sources.regions.count_of(session) >= usize::from(REGIONS_MAX) {
            return Err(Refusal::Limit {
                what: "regions of one connection",
                max: u32::from(REGIONS_MAX),
            });
        }
        if wish.len_bytes == 0 {
            let sentence = "expected a buffer of at least one byte, found none";
            return Err(Refusal::Invalid(sentence.to_owned()));
        }
        let key = self.import_next;
        self.import_next = key.next();
        self.importing = Some(Importing {
            key,
            session,
            request,
        });
        self.push(Output::Import {
            import: key,
            session,
            len: ByteLen::new(wish.len_bytes),
        });
        Ok(None)
    }

    pub(super) fn handle_imported(
        &mut self,
        key: ImportKey,
        result: Result<PhysRange, NotImported>,
    ) {
        let Some(importing) = self.importing.take_if(|importing| importing.key == key) else {
            return;
        };
        let Importing {
            session, request, ..
        } = importing;
        let range = match result {
            Ok(range) => range,
            Err(NotImported::Unsupported(sentence)) => {
                return self.refuse(session, request, &Refusal::Unsupported(sentence));
            }
            Err(NotImported::Failed(sentence)) => {
                return self.refuse(session, request, &Refusal::Internal(sentence));
            }
        };
        self.import_works = true;
        let Some(peer) = self.sessions.get(&session).map(|state| state.peer) else {
            return self.push(Output::ReleaseImport { import: key });
        };
        let who = Claimant { session, peer };
        let imported = Imported {
            key,
            may_be_system: peer.uid == 0,
        };
        match self.sources.register_imported(who, range, imported) {
            Ok(region) => {
                let address = Address::new(range.start().value());
                let reply = Reply::RegionRegistered(RegionRegistered { region, address });
                self.reply(session, request, reply, Attach::Nothing);
            }
            Err(refusal) => {
                self.push(Output::ReleaseImport { import: key });
                self.refuse(session, request, &refusal);
            }
        }
    }

    /// Has imports released of which no region is left.
    pub(super) fn release_imports(&mut self) {
        while let Some(import) = self.sources.regions.take_released_import() {
            self.push(Output::ReleaseImport { import });
        }
    }
}
