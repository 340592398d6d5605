//! The interface of the kernel's drivers: request numbers as literals, structures, layout of a camera's memory.

/// `_IO('q', 1)`: ends waits on the open file for good.
pub const UNBLOCK: u32 = if MIPS { 0x2000_7101 } else { 0x0000_7101 };
/// `_IOWR('q', 10, 8 bytes)`: writes a register.
pub const WRITE_REGISTER: u32 = 0xc008_710a;
/// `_IOWR('q', 11, 8 bytes)`: reads a register.
pub const READ_REGISTER: u32 = 0xc008_710b;
/// `_IOWR('q', 12, int)`: waits for an interrupt.
pub const WAIT_IRQ: u32 = 0xc004_710c;
/// `_IOWR('q', 14, int)`, though it takes 12 bytes: makes cache and memory agree, through the encoder's device.
pub const FLUSH_AVPU: u32 = 0xc004_710e;
/// `_IOWR('r', 0, 12 bytes)`: the same through the device of the reserved memory.
pub const FLUSH_RMEM: u32 = 0xc00c_7200;

/// First register offset that the encoder's driver accepts.
pub const REGISTER_FIRST: u32 = 0x8000;
/// Last one.
pub const REGISTER_LAST: u32 = 0xf_fffc;
/// Interrupt lines that the driver's handler looks at.
pub const LINES: u8 = 20;

/// The encoder.
pub const AVPU_PATH: &str = "/dev/avpu";
/// Reserved memory through the cache.
pub const RMEM_PATH: &str = "/dev/rmem";
/// All memory, around the cache.
pub const MEM_PATH: &str = "/dev/mem";

const MIPS: bool = cfg!(target_arch = "mips");
