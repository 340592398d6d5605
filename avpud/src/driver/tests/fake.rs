//! A scripted encoder: registers that remember, memory with a separate processor image, and nothing that happens by
//! itself. A test writes back what the hardware would.

use crate::device::error::DeviceError;
use crate::device::trace::Access;
use crate::device::{Caching, Capabilities, Device, Export, FlushDirection};
use crate::hw::regs::{Core, CoreReg, Reg};
use crate::job::{CostTable, JobCost};
use crate::mem::addr::{ByteLen, PhysAddr, PhysRange, RegionOffset};
use crate::mem::map::MappedRegion;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Start of the simulated memory.
pub(super) const BASE: u32 = 0x0600_0000;
/// Its length; sparse, so it costs nothing.
const LEN: u32 = 0x0300_0000;

/// The scripted encoder.
#[derive(Debug)]
pub(super) struct Fake {
    capabilities: Capabilities,
    ram: File,
    /// What cached mappings see.
    image: File,
    pub(super) ip_id: u32,
    pub(super) mask: u32,
    clock: u32,
    /// What the status register reads, also after a reset.
    pub(super) status: u32,
    list_address: u32,
    /// Addresses of pushed lists, oldest first.
    pub(super) pushed: Vec<u32>,
    /// Register accesses and cache operations.
    pub(super) log: Vec<Access>,
    /// Fails the register access after this many more.
    pub(super) fail_after: Option<u32>,
    /// And all that follow it.
    pub(super) fail_for_good: bool,
}

impl Fake {
    pub(super) fn new() -> Self {
        let memory = || {
            let fd = memfd_create("fake", MFdFlags::empty()).expect("anonymous memory");
            let file = File::from(fd);
            file.set_len(u64::from(LEN)).expect("room");
            file
        };
        let arena = PhysRange::new(PhysAddr::new(BASE), ByteLen::new(LEN)).expect("a range");
        Self {
            capabilities: Capabilities {
                name: "scripted".to_owned(),
                synthetic: true,
                cost: CostTable::uniform(JobCost {
                    base_ns: 0,
                    macroblock_ns: 0,
                }),
                dma_buf_import: false,
                patience_us: 100_000,
                arena,
            },
            ram: memory(),
            image: memory(),
            ip_id: 0x7200_0460,
            mask: 0,
            clock: 0,
            status: 0,
            list_address: 0,
            pushed: Vec::new(),
            log: Vec::new(),
            fail_after: None,
            fail_for_good: false,
        }
    }

    /// What the device reads at an address.
    pub(super) fn load(&self, address: u32, bytes: &mut [u8]) {
        self.ram
            .read_exact_at(bytes, place(address))
            .expect("inside memory");
    }

    /// What the device writes at an address.
    pub(super) fn store(&self, address: u32, bytes: &[u8]) {
        self.ram
            .write_all_at(bytes, place(address))
            .expect("inside memory");
    }

    /// One word of the list that was pushed last.
    pub(super) fn word(&self, number: u32) -> u32 {
        let list = *self.pushed.last().expect("a pushed list");
        let mut bytes = [0; 4];
        self.load(list + number * 4, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Writes a status word back into the list that was pushed last.
    pub(super) fn write_back(&self, number: u32, value: u32) {
        let list = *self.pushed.last().expect("a pushed list");
        self.store(list + number * 4, &value.to_le_bytes());
    }

    /// Slice data and its size, as the hardware leaves them.
    pub(super) fn encode(&self, payload: &[u8]) {
        self.store(self.word(0x30) + self.word(0x32), payload);
        self.write_back(0x41, u32::try_from(payload.len()).expect("small"));
    }

    /// The log as text, emptied.
    pub(super) fn take_log(&mut self) -> Vec<String> {
        self.log
            .drain(..)
            .map(|access| access.to_string())
            .collect()
    }

    fn step(&mut self) -> Result<(), DeviceError> {
        match &mut self.fail_after {
            Some(0) => {
                self.fail_after = self.fail_for_good.then_some(0);
                Err(DeviceError::Os {
                    operation: "scripted access",
                    source: io::Error::from(io::ErrorKind::Other),
                })
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Device for Fake {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        self.step()?;
        let value = match register {
            Reg::IpId => self.ip_id,
            Reg::IrqMask => self.mask,
            Reg::Core(Core::Video, CoreReg::Clock) => self.clock,
            Reg::Core(Core::Video, CoreReg::Status) => self.status,
            other => panic!("expected a register that can be read, found {other:?}"),
        };
        self.log.push(Access::Read { register, value });
        Ok(value)
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.step()?;
        self.log.push(Access::Write { register, value });
        match register {
            Reg::IrqMask => self.mask = value,
            Reg::Core(Core::Video, CoreReg::Clock) => {
                // Bit 16 reads as one while the clock runs.
                self.clock = (value & !0x1_0000) | (value & 1) << 16;
            }
            Reg::Core(Core::Video, CoreReg::ListAddress) => self.list_address = value,
            Reg::Core(Core::Video, CoreReg::ListPush) => self.pushed.push(self.list_address),
            _ => {}
        }
        Ok(())
    }

    fn map(&mut self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError> {
        let file = match caching {
            Caching::Cached => &self.image,
            Caching::Uncached => &self.ram,
        };
        let offset = place(range.start().value());
        MappedRegion::new(file.as_fd(), offset, range, caching).map_err(|source| DeviceError::Os {
            operation: "mapping",
            source,
        })
    }

    fn flush(
        &mut self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError> {
        assert_ne!(
            len,
            ByteLen::ZERO,
            "the kernel of the camera does not survive this"
        );
        if region.caching() == Caching::Uncached {
            return Ok(());
        }
        let part = region
            .range()
            .sub(offset, len)
            .expect("a part of the region");
        let start = part.start().value();
        self.log.push(Access::Flush {
            start,
            len_bytes: len.value(),
            direction,
        });
        let (from, to) = match direction {
            FlushDirection::FromDevice => (&self.ram, &self.image),
            FlushDirection::ToDevice | FlushDirection::Both => (&self.image, &self.ram),
        };
        let mut bytes = vec![0; usize::try_from(len.value()).expect("a length")];
        from.read_exact_at(&mut bytes, place(start))
            .expect("inside");
        to.write_all_at(&bytes, place(start)).expect("inside");
        Ok(())
    }

    fn export(&mut self, _range: PhysRange) -> Result<Export<'_>, DeviceError> {
        Ok(Export::None)
    }

    fn withdraw(&mut self, _range: PhysRange) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn place(address: u32) -> u64 {
    u64::from(
        address
            .checked_sub(BASE)
            .expect("an address of this memory"),
    )
}
