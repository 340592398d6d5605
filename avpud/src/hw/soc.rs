//! The systems on a chip that carry this encoder, and what differs between them.
//!
//! Only the T31 is supported: its figures come from the vendor's open kernel driver and from
//! recordings on cameras.

/// One system on a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soc {
    /// What people call it.
    pub name: &'static str,
    /// Physical address of the encoder's register window.
    pub window_start: u32,
    /// Size of that window in bytes.
    pub window_len_bytes: u32,
    /// The first register id the kernel driver accepts; ids below are refused by it.
    pub register_base: u32,
    /// What the identification register reads.
    pub ip_id: u32,
    /// Cores in the encoder: 0 encodes video, 1 still pictures.
    pub core_count: u8,
    /// Interrupt lines the kernel driver delivers, from 0 on.
    pub irq_line_count: u8,
    /// Bits of the interrupt registers that may be written; the others can hang the bus.
    pub irq_bits: u32,
}

/// Ingenic T31. Window, base and lines: kernel driver. Identification: inferred from the vendor's
/// library, which checks it.
pub const T31: Soc = Soc {
    name: "T31",
    window_start: 0x1320_0000,
    window_len_bytes: 0x10_0000,
    register_base: 0x8000,
    ip_id: 0x7200_0460,
    core_count: 2,
    irq_line_count: 20,
    irq_bits: 0x00ff_ffff,
};
