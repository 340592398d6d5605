//! Asks the devices everything that the daemon relies on, in the kernel's own terms, and says what is not as documented.
//!
//! `avpu-abi-probe rules BASE` checks every rule with the page at physical address BASE (hexadecimal); `coherent` after
//! it expects that caches need no help, as under an emulator. `avpu-abi-probe oops CASE BASE` does what a camera's
//! kernel does not survive: `empty`, `direction`, `unmapped` or `uncached` cache operations, or two `waiters`. Both
//! need the encoder to be free.
#![allow(
    unsafe_code,
    reason = "requests and mappings of devices have no safe wrapper"
)]

use avpu_rig::abi;
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::thread;

/// What was found instead of what is documented.
struct Failure(String);

/// A page of physical memory.
struct Page {
    start: NonNull<c_void>,
    offset: u64,
}

const PAGE_LEN_BYTES: usize = 4096;
const IP_ID: u32 = 0x8004;
const IP_ID_T31: u32 = 0x7200_0460;
const IRQ_MASK: u32 = 0x8014;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match *words.as_slice() {
        ["rules", base] => base_of(base).and_then(|base| rules(base, false)),
        ["rules", base, "coherent"] => base_of(base).and_then(|base| rules(base, true)),
        ["oops", case, base] => base_of(base).and_then(|base| oops(case, base)),
        _ => Err(Failure(
            "expected rules BASE [coherent], or oops CASE BASE".to_owned(),
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(what)) => {
            eprintln!("avpu-abi-probe: {what}");
            ExitCode::FAILURE
        }
    }
}

fn base_of(text: &str) -> Result<u64, Failure> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| Failure(format!("expected a hexadecimal address, found {text}")))
}

fn rules(base: u64, coherent: bool) -> Result<(), Failure> {
    registers()?;
    println!("registers: as documented");
    exclusive()?;
    println!("exclusive open: as documented");
    unblocking()?;
    println!("waits and unblocking: as documented");
    memory(base, coherent)?;
    println!("reserved memory: as documented");
    Ok(())
}

fn registers() -> Result<(), Failure> {
    let avpu = open(abi::AVPU_PATH, 0)?;
    expect("identification", read(&avpu, IP_ID), Ok(IP_ID_T31))?;
    for value in [0x11, 0] {
        expect("writing the mask", write(&avpu, IRQ_MASK, value), Ok(value))?;
        expect("the mask", read(&avpu, IRQ_MASK), Ok(value))?;
    }
    for id in [0, 0x8002, abi::REGISTER_FIRST - 4, abi::REGISTER_LAST + 4] {
        expect("a bad offset", read(&avpu, id), Err(Errno::EINVAL))?;
        expect("a bad offset", write(&avpu, id, 0), Err(Errno::EINVAL))?;
    }
    read(&avpu, abi::REGISTER_LAST)
        .map_err(|errno| Failure(format!("the last register: {errno}")))?;
    expect(
        "an unknown request",
        request(&avpu, 0x7163, &mut [0; 4]),
        Err(Errno::EINVAL),
    )?;
    let nowhere = NonNull::<[u32; 4]>::dangling().as_ptr();
    for number in [abi::READ_REGISTER, abi::WRITE_REGISTER] {
        // SAFETY: the kernel checks the address before it reads or writes there, and finds no memory.
        let result = unsafe { raw_request(&avpu, number, nowhere) };
        expect("a bad pointer", result, Err(Errno::EFAULT))?;
    }
    Ok(())
}

fn exclusive() -> Result<(), Failure> {
    let second = || open_raw(abi::AVPU_PATH, 0).map(drop);
    let first = open(abi::AVPU_PATH, 0)?;
    expect("a second open", second(), Err(Errno::ENODEV))?;
    let copy = first
        .try_clone()
        .map_err(|error| Failure(format!("copying a descriptor: {error}")))?;
    drop(first);
    expect(
        "an open beside a copied descriptor",
        second(),
        Err(Errno::ENODEV),
    )?;
    drop(copy);
    expect("an open after the last close", second(), Ok(()))
}

fn unblocking() -> Result<(), Failure> {
    for _ in 0..2 {
        let avpu = open(abi::AVPU_PATH, 0)?;
        let waited = thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&avpu));
            let unblocked = request(&avpu, abi::UNBLOCK, &mut [0; 4]);
            expect("unblocking", unblocked, Ok(()))?;
            waiter
                .join()
                .map_err(|_| Failure("the waiter panicked".to_owned()))
        })?;
        expect("a wait that is unblocked", waited, Err(Errno::EINTR))?;
        expect("a wait after that", wait(&avpu), Err(Errno::EINTR))?;
    }
    Ok(())
}

fn memory(base: u64, coherent: bool) -> Result<(), Failure> {
    let rmem = open(abi::RMEM_PATH, 0)?;
    let mem = open(abi::MEM_PATH, libc::O_SYNC)?;
    let (mut cached, mut uncached) = (Page::map(&rmem, base)?, Page::map(&mem, base)?);
    uncached.store(1);
    cached.flush(&rmem, 2)?;
    expect("a read after an invalidation", Ok(cached.load()), Ok(1))?;
    cached.store(2);
    let stale = if coherent { 2 } else { 1 };
    expect("memory before a write-back", Ok(uncached.load()), Ok(stale))?;
    cached.flush(&rmem, 1)?;
    expect("memory after a write-back", Ok(uncached.load()), Ok(2))?;
    uncached.store(3);
    let stale = if coherent { 3 } else { 2 };
    expect(
        "a read before an invalidation",
        Ok(cached.load()),
        Ok(stale),
    )?;
    cached.flush(&rmem, 0)?;
    expect(
        "an unknown request",
        request(&rmem, 0xc008_7201, &mut [0; 4]),
        Err(Errno::EINVAL),
    )
}

fn oops(case: &str, base: u64) -> Result<(), Failure> {
    let rmem = open(abi::RMEM_PATH, 0)?;
    let mem = open(abi::MEM_PATH, libc::O_SYNC)?;
    let (cached, uncached) = (Page::map(&rmem, base)?, Page::map(&mem, base)?);
    let result = match case {
        "empty" => flush(&rmem, cached.address()?, 0, 1),
        "direction" => flush(&rmem, cached.address()?, 64, 3),
        "unmapped" => flush(&rmem, 64, 64, 1),
        "uncached" => flush(&rmem, uncached.address()?, 64, 1),
        "waiters" => wait_twice()?,
        _ => return Err(Failure(format!("expected a case, found {case}"))),
    };
    Err(Failure(format!("expected the end, found {result:?}")))
}

/// Answers how a second wait beside another one ended.
fn wait_twice() -> Result<Result<(), Errno>, Failure> {
    let avpu = open(abi::AVPU_PATH, 0)?;
    let ended = thread::scope(|scope| {
        let waiters = [scope.spawn(|| wait(&avpu)), scope.spawn(|| wait(&avpu))];
        waiters.map(|waiter| {
            waiter
                .join()
                .map_err(|_| Failure("a waiter panicked".to_owned()))
        })
    });
    let [first, second] = ended;
    Ok(first?.and(second?).map(|_| ()))
}

impl Page {
    fn map(file: &File, offset: u64) -> Result<Self, Failure> {
        let len = NonZeroUsize::new(PAGE_LEN_BYTES).unwrap_or(NonZeroUsize::MIN);
        let failed = |what: &dyn fmt::Display| Failure(format!("mapping 0x{offset:x}: {what}"));
        let position = offset.try_into().map_err(|error| failed(&error))?;
        #[cfg(target_arch = "x86_64")]
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_32BIT;
        #[cfg(not(target_arch = "x86_64"))]
        let flags = MapFlags::MAP_SHARED;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory of the process.
        let start = unsafe { mmap(None, len, protection, flags, file, position) };
        let start = start.map_err(|errno| failed(&errno))?;
        Ok(Self { start, offset })
    }

    fn store(&mut self, word: u32) {
        // SAFETY: the page is mapped for writing, aligned, and longer than a word; only this thread touches it.
        unsafe { self.start.cast::<u32>().write_volatile(word) }
    }

    fn load(&self) -> u32 {
        // SAFETY: as above, for reading.
        unsafe { self.start.cast::<u32>().read_volatile() }
    }

    fn address(&self) -> Result<u32, Failure> {
        let address = self.start.addr().get();
        u32::try_from(address).map_err(|_| {
            Failure(format!(
                "expected a mapping below 4 GiB, found 0x{address:x}"
            ))
        })
    }

    fn flush(&self, rmem: &File, direction: u32) -> Result<(), Failure> {
        flush(rmem, self.address()?, 64, direction)
            .map_err(|errno| Failure(format!("flushing 0x{:x}: {errno}", self.offset)))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: exactly the page that was mapped; nothing refers to it any more.
        let unmapped = unsafe { munmap(self.start, PAGE_LEN_BYTES) };
        debug_assert!(unmapped.is_ok());
    }
}

fn flush(rmem: &File, address: u32, len: u32, direction: u32) -> Result<(), Errno> {
    request(rmem, abi::FLUSH_RMEM, &mut [address, len, direction, 0])
}

fn read(avpu: &File, id: u32) -> Result<u32, Errno> {
    let mut argument = [id, !0, 0, 0];
    request(avpu, abi::READ_REGISTER, &mut argument)?;
    Ok(argument[1])
}

fn write(avpu: &File, id: u32, value: u32) -> Result<u32, Errno> {
    let mut argument = [id, value, 0, 0];
    request(avpu, abi::WRITE_REGISTER, &mut argument)?;
    Ok(argument[1])
}

fn wait(avpu: &File) -> Result<u32, Errno> {
    let mut argument = [!0, 0, 0, 0];
    request(avpu, abi::WAIT_IRQ, &mut argument)?;
    Ok(argument[0])
}

fn request(file: &File, number: u32, argument: &mut [u32; 4]) -> Result<(), Errno> {
    // SAFETY: the argument is longer than that of every request, aligned, and lives until the call returns.
    unsafe { raw_request(file, number, argument) }
}

/// # Safety
/// The kernel may read and write what the request says at `argument`, or finds no memory there.
unsafe fn raw_request(file: &File, number: u32, argument: *mut [u32; 4]) -> Result<(), Errno> {
    // SAFETY: as the caller says.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::Ioctl::from(number), argument) };
    Errno::result(result).map(|_| ())
}

fn open(path: &str, flags: i32) -> Result<File, Failure> {
    open_raw(path, flags).map_err(|errno| Failure(format!("opening {path}: {errno}")))
}

fn open_raw(path: &str, flags: i32) -> Result<File, Errno> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path);
    opened.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}

fn expect<T: fmt::Debug + PartialEq>(
    what: &str,
    found: Result<T, Errno>,
    expected: Result<T, Errno>,
) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure(format!(
        "{what}: expected {expected:?}, found {found:?}"
    )))
}
