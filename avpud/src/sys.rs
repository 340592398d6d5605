//! System calls that have no safe wrapper elsewhere.
#![allow(
    unsafe_code,
    reason = "the one place for such calls outside mappings and ioctls"
)]

/// Which of the two threads asks for the processor; the one that hands over interrupts goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The loop.
    Loop,
    /// The thread that waits for interrupts.
    Interrupts,
}

/// Asks the kernel to run this thread before ordinary ones. Says whether it agreed: without the right to, the thread
/// runs as before.
pub fn request_realtime(urgency: Urgency) -> bool {
    let priority = match urgency {
        Urgency::Loop => 10,
        Urgency::Interrupts => 11,
    };
    // SAFETY: an all-zero `sched_param` is a valid value of that plain C struct on every target.
    let mut parameters: nix::libc::sched_param = unsafe { core::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the pointer is to a live local that the call only reads; 0 names the calling thread.
    unsafe { nix::libc::sched_setscheduler(0, nix::libc::SCHED_RR, &raw const parameters) == 0 }
}
