//! An allocator that counts, thread by thread, to show that a path allocates nothing.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator with a count for each thread. To be installed with `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

thread_local! {
    // Constant and without a destructor, so that reaching it allocates nothing itself.
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// Allocations and reallocations of this thread so far; always 0 where the allocator is not installed.
#[must_use]
pub fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// Bytes that this thread has allocated and not given back; always 0 where the allocator is not installed.
#[must_use]
pub fn live_bytes() -> i64 {
    LIVE_BYTES.with(Cell::get)
}

fn add_bytes(bytes: usize) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    LIVE_BYTES.with(|live| live.set(live.get().saturating_add(bytes)));
}

fn remove_bytes(bytes: usize) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    LIVE_BYTES.with(|live| live.set(live.get().saturating_sub(bytes)));
}

fn one_more() {
    COUNT.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the trait's promises.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        one_more();
        add_bytes(layout.size());
        // SAFETY: the caller keeps the promises that this method asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        remove_bytes(layout.size());
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        one_more();
        add_bytes(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        one_more();
        remove_bytes(layout.size());
        add_bytes(len);
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(pointer, layout, len) }
    }
}
