//! The threaded device: the same machine, with real threads that wait and a worker that encodes.

mod host;

use avpu_model::body::Body;
use avpu_model::engine::{Engine, EngineConfig};
use avpu_model::memory::{FlushDirection, Image, Memory, PlainMemory, Segment, SegmentedMemory};
use avpu_model::registers::{RegisterError, offset};
use avpu_model::violation::Violation;
use avpu_model::{
    BodyKind, DeviceBusy, ModelConfig, ModelDevice, ModelHandle, ModelIrq, WaitError,
};
use host::{BASE, Channel, Host};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// A device with one channel, and the files that are its memory.
struct Board {
    device: ModelDevice,
    channel: Channel,
    ram: File,
    cpu: File,
}

/// Both images in one, as an uncached host writes them.
struct Ram<'a>(&'a File);

impl Memory for Ram<'_> {
    fn read(&self, address: u32, bytes: &mut [u8]) -> Result<(), avpu_model::memory::BusError> {
        self.0
            .read_exact_at(bytes, u64::from(address - BASE))
            .expect("a file");
        Ok(())
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), avpu_model::memory::BusError> {
        self.0
            .write_all_at(bytes, u64::from(address - BASE))
            .expect("a file");
        Ok(())
    }

    fn contains(&self, _: u32, _: u32) -> bool {
        true
    }
}

/// A file of `len` bytes without a name.
fn file(len: u32) -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = std::env::temp_dir().join(format!(
        "avpu-model-device-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("a temporary file");
    std::fs::remove_file(&path).expect("a name to remove");
    file.set_len(len.into()).expect("room");
    file
}

impl Board {
    fn new(config: &str) -> Self {
        let channel = Channel::new(BASE, 48, 40);
        let len = channel.end - BASE;
        let (ram, cpu) = (file(len), file(len));
        let mut memory = SegmentedMemory::new();
        let image = |of: &File| Image::new(of.try_clone().expect("a descriptor"), 0);
        memory.lay(Segment::new(BASE, len, image(&ram), Some(image(&cpu))).expect("a range"));
        channel.prepare(&mut Ram(&ram));
        channel.draw(0, &mut Ram(&ram));
        let config = ModelConfig::parse(config).expect("a configuration");
        Self {
            device: ModelDevice::new(&config, memory, None).expect("a thread"),
            channel,
            ram,
            cpu,
        }
    }

    fn start(&self, handle: &ModelHandle, n: u32) {
        let words = self.channel.list(n, 30);
        host::store(&mut Ram(&self.ram), self.channel.slot(n), &words);
        self.push(handle, self.channel.slot(n));
    }

    fn push(&self, handle: &ModelHandle, address: u32) {
        let write = |offset, value| handle.write(offset, value).expect("a register");
        write(offset::CLOCK, 1);
        for value in [1, 2, 4] {
            write(offset::RESET, value);
        }
        write(offset::IRQ_MASK, 1);
        write(offset::CL_ADDR, address);
        write(offset::CL_PUSH, 2);
    }

    fn finish(&self, handle: &ModelHandle) {
        handle.write(offset::IRQ_MASK, 0).expect("a register");
        handle.write(offset::CLOCK, 0).expect("a register");
    }

    fn payload(&self, n: u32) -> Vec<u8> {
        let ram = Ram(&self.ram);
        let size = host::word(&ram, self.channel.slot(n) + 0x104);
        host::bytes(&ram, self.channel.stream + 0x220, size & 0x3fff_ffff)
    }
}

fn power_up(handle: &ModelHandle) {
    let write = |offset, value| handle.write(offset, value).expect("a register");
    write(offset::MISC_CTRL, 0x1000);
    for value in [1, 2, 4] {
        write(offset::RESET, value);
    }
    write(offset::IRQ_PENDING, 0x00ff_ffff);
    write(offset::TOP_CTRL, 0x80);
}

fn opened(board: &Board) -> (ModelHandle, ModelIrq) {
    let (handle, irq, _) = board.device.open().expect("a closed device");
    power_up(&handle);
    (handle, irq)
}

#[test]
fn threads_get_the_pictures_that_virtual_time_gets() {
    for body in ["picture", "pattern"] {
        for pace in ["free", "t31"] {
            let board = Board::new(&format!("body={body},pace={pace}"));
            let kind = if body == "picture" {
                avpu_model::BodyKind::Picture
            } else {
                avpu_model::BodyKind::Pattern
            };
            let mut host = Host::with(kind, "", |_| {});
            let (handle, mut irq) = opened(&board);
            for n in 0..4 {
                board.channel.draw(n, &mut Ram(&board.ram));
                board.start(&handle, n);
                assert_eq!(irq.wait(), Ok(0));
                board.finish(&handle);
                assert_eq!(board.payload(n), host.encode(n, 30), "{body} {pace} {n}");
            }
            assert_eq!(handle.take_faults(), []);
            assert_eq!(handle.counters().completed, 4);
        }
    }
}

#[test]
fn a_wait_sleeps_in_another_thread_until_the_picture_is_done() {
    let board = Board::new("body=pattern,pace=t31");
    let (handle, mut irq) = opened(&board);
    let (sender, first) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        sender.send(irq.wait()).expect("a listener");
        irq.wait()
    });
    board.start(&handle, 0);
    assert_eq!(first.recv().expect("a wait that ends"), Ok(0));
    assert!(!board.payload(0).is_empty());
    drop(handle);
    assert_eq!(waiter.join().expect("no panic"), Err(WaitError::Closed));
}

#[test]
fn cancel_ends_a_wait_for_good_and_a_new_open_makes_waits_work_again() {
    let board = Board::new("body=pattern,pace=free");
    let (handle, mut irq, canceller) = board.device.open().expect("a closed device");
    let waiter = std::thread::spawn(move || {
        let first = irq.wait();
        (first, irq.wait())
    });
    canceller.cancel();
    let ended = waiter.join().expect("no panic");
    assert_eq!(
        ended,
        (Err(WaitError::Unblocked), Err(WaitError::Unblocked))
    );
    drop(handle);
    let (handle, mut irq) = opened(&board);
    board.start(&handle, 0);
    assert_eq!(irq.wait(), Ok(0));
}

#[test]
fn the_device_opens_once_until_the_handle_is_dropped() {
    let board = Board::new("body=pattern,pace=free");
    let (handle, _irq) = opened(&board);
    assert_eq!(board.device.open().err(), Some(DeviceBusy));
    assert_eq!(board.device.counters().refused_opens, 1);
    drop(handle);
    assert!(board.device.open().is_ok());
}

#[test]
fn a_list_that_was_not_written_back_is_not_what_the_device_reads() {
    let board = Board::new("body=pattern,pace=free");
    let (handle, mut irq) = opened(&board);
    let slot = board.channel.slot(0);
    host::store(&mut Ram(&board.cpu), slot, &board.channel.list(0, 30));
    board.push(&handle, slot);
    // All zeros in memory: no picture, addresses of zero.
    let faults = board.device.take_faults();
    assert!(
        faults
            .iter()
            .any(|fault| matches!(fault.violation, Violation::Address { word: 0x20, .. })),
        "{faults:?}"
    );
    assert_eq!(board.payload(0), []);

    let board = Board::new("body=pattern,pace=free");
    let (handle2, mut irq2) = opened(&board);
    host::store(&mut Ram(&board.cpu), slot, &board.channel.list(0, 30));
    handle2
        .flush(slot, 512, FlushDirection::ToDevice)
        .expect("memory");
    board.push(&handle2, slot);
    assert_eq!(irq2.wait(), Ok(0));
    assert_eq!(board.device.take_faults(), []);
    // The processor's view of the size is old until it is invalidated.
    assert_eq!(host::word(&Ram(&board.cpu), slot + 0x104), 0);
    handle2
        .flush(slot, 512, FlushDirection::FromDevice)
        .expect("memory");
    assert_ne!(host::word(&Ram(&board.cpu), slot + 0x104), 0);
    drop(handle);
    assert_eq!(irq.wait(), Err(WaitError::Closed));
}

#[test]
fn a_reset_while_a_picture_is_made_keeps_it_out_of_memory() {
    for _ in 0..50 {
        let board = Board::new("body=picture,pace=t31");
        let (handle, mut irq) = opened(&board);
        board.start(&handle, 0);
        for value in [1, 2, 4] {
            handle.write(offset::RESET, value).expect("a register");
        }
        let counters = handle.counters();
        board.finish(&handle);
        if counters.completed == 1 {
            // This thread was held up and the picture was faster: another try.
            continue;
        }
        assert_eq!(counters.aborted, 1);
        assert_eq!(board.payload(0), []);
        board.start(&handle, 0);
        assert_eq!(irq.wait(), Ok(0));
        assert!(!board.payload(0).is_empty());
    }
}

#[test]
fn an_overlay_is_what_the_device_reads_until_it_is_removed() {
    let board = Board::new("body=picture,pace=free");
    let (handle, mut irq) = opened(&board);
    let encode = |irq: &mut ModelIrq| {
        board.start(&handle, 0);
        assert_eq!(irq.wait(), Ok(0));
        board.finish(&handle);
        board.payload(0)
    };
    let before = encode(&mut irq);
    let source = board.channel.source;
    let len = board.channel.end - source;
    let leased = file(len);
    let mut drawn = PlainMemory::new(source, len);
    board.channel.draw(5, &mut drawn);
    leased
        .write_all_at(&host::bytes(&drawn, source, len), 0)
        .expect("a file");
    handle.lay(Segment::new(source, len, Image::new(leased, 0), None).expect("a range"));
    let over = encode(&mut irq);
    assert_ne!(over, before);
    handle.remove(source, len).expect("an overlay");
    assert_eq!(encode(&mut irq), before);
}

#[test]
fn memory_that_is_taken_away_from_a_running_picture_hangs_the_bus() {
    let channel = Channel::new(BASE, 48, 40);
    let (arena, leased) = (
        file(channel.source - BASE),
        file(channel.end - channel.source),
    );
    let mut memory = SegmentedMemory::new();
    for (start, end, of) in [
        (BASE, channel.source, arena),
        (channel.source, channel.end, leased),
    ] {
        memory.lay(Segment::new(start, end - start, Image::new(of, 0), None).expect("a range"));
    }
    channel.prepare(&mut memory);
    host::store(&mut memory, channel.slot(0), &channel.list(0, 30));
    let mut engine = Engine::new(EngineConfig::default());
    let mut body = Body::new(BodyKind::Picture);
    for (register, value) in [
        (offset::MISC_CTRL, 0x1000),
        (offset::TOP_CTRL, 0x80),
        (offset::CLOCK, 1),
        (offset::RESET, 1),
        (offset::RESET, 2),
        (offset::RESET, 4),
        (offset::IRQ_MASK, 1),
        (offset::CL_ADDR, channel.slot(0)),
        (offset::CL_PUSH, 2),
    ] {
        engine
            .write(0, register, value, &memory)
            .expect("a register");
    }
    let work = engine.work().expect("a picture to make");
    memory
        .remove(channel.source, channel.end - channel.source)
        .expect("a segment");
    body.load(&work, &memory);
    body.encode();
    assert!(engine.ready(1_000, work.number));
    let written = engine.advance(1_000, body.finished().as_ref(), &mut memory);
    assert_eq!(written, None);
    assert!(matches!(
        engine.faults()[..],
        [avpu_model::violation::ModelFault {
            picture: Some(0),
            violation: Violation::Address { .. }
        }]
    ));
    assert_eq!(engine.read(1_001, offset::IP_ID), Ok(3));
}

#[test]
fn a_dump_that_cannot_be_written_is_told() {
    let directory = std::env::temp_dir().join(format!("avpu-model-full-{}", std::process::id()));
    let board = Board::new(&format!("pace=free,dump={}", directory.display()));
    let (handle, mut irq) = opened(&board);
    std::fs::remove_dir(&directory).expect("an empty directory");
    board.start(&handle, 0);
    assert_eq!(irq.wait(), Ok(0));
    let failure = board.device.take_dump_failure().expect("a failure");
    assert_eq!(failure.kind(), std::io::ErrorKind::NotFound);
    assert!(board.device.take_dump_failure().is_none());
}

#[test]
fn offsets_that_the_driver_refuses_are_errors() {
    let board = Board::new("body=pattern,pace=free");
    let (handle, _irq) = opened(&board);
    assert_eq!(handle.read(0x8002), Err(RegisterError { offset: 0x8002 }));
    assert_eq!(
        handle.write(0x10_0000, 1),
        Err(RegisterError { offset: 0x10_0000 })
    );
}

#[test]
fn faults_of_the_configuration_strike() {
    let board = Board::new("body=pattern,pace=free,fault=duplicate@0,wake@1");
    let (handle, mut irq) = opened(&board);
    board.start(&handle, 0);
    assert_eq!((irq.wait(), irq.wait()), (Ok(0), Ok(0)));
    board.finish(&handle);
    board.start(&handle, 1);
    assert_eq!((irq.wait(), irq.wait()), (Ok(4), Ok(0)));
}
