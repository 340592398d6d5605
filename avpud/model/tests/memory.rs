//! Memory in files: segments, overlays, and the two views that a flush makes agree.
#![allow(
    clippy::cast_possible_truncation,
    reason = "samples and small test values"
)]

use avpu_model::memory::{
    BusError, FlushDirection, Image, LayError, Memory, PlainMemory, Segment, SegmentedMemory,
};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A file of `len` bytes without a name.
fn file(len: u64) -> File {
    let path = std::env::temp_dir().join(format!(
        "avpu-model-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .expect("a temporary file");
    std::fs::remove_file(&path).expect("a name to remove");
    file.set_len(len).expect("room");
    file
}

fn image(of: &File, offset: u64) -> Image {
    Image::new(of.try_clone().expect("a descriptor"), offset)
}

fn read(memory: &dyn Memory, address: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    memory.read(address, &mut bytes).expect("memory");
    bytes
}

#[test]
fn the_device_sees_what_the_processor_wrote_only_after_a_write_back() {
    let (ram, cpu) = (file(8192), file(8192));
    let mut memory = SegmentedMemory::new();
    memory.lay(Segment::new(0x1000, 8192, image(&ram, 0), Some(image(&cpu, 0))).expect("a range"));
    cpu.write_all_at(b"new", 100).expect("written");
    assert_eq!(read(&memory, 0x1064, 3), [0; 3]);
    memory
        .flush(0x1064, 2, FlushDirection::ToDevice)
        .expect("a flush");
    assert_eq!(read(&memory, 0x1064, 3), *b"ne\0");
    memory.write(0x1064, b"dev").expect("memory");
    let mut seen = [0; 3];
    cpu.read_exact_at(&mut seen, 100).expect("read");
    assert_eq!(seen, *b"new");
    memory
        .flush(0x1064, 3, FlushDirection::FromDevice)
        .expect("a flush");
    cpu.read_exact_at(&mut seen, 100).expect("read");
    assert_eq!(seen, *b"dev");
}

#[test]
fn an_overlay_counts_until_it_is_removed() {
    let (arena, leased) = (file(0x4000), file(0x1000));
    let mut memory = SegmentedMemory::new();
    memory.lay(Segment::new(0x8000, 0x4000, image(&arena, 0), None).expect("a range"));
    memory.write(0x8000, &[1; 0x4000]).expect("memory");
    memory.lay(Segment::new(0x9000, 0x1000, image(&leased, 0), None).expect("a range"));
    // Across both edges.
    memory.write(0x8ff0, &[2; 0x1020]).expect("memory");
    assert_eq!(read(&memory, 0x8ff0, 0x1020), [2; 0x1020]);
    let mut seen = vec![0; 0x1000];
    leased.read_exact_at(&mut seen, 0).expect("read");
    assert_eq!(seen, [2; 0x1000]);
    memory.remove(0x9000, 0x1000).expect("an overlay");
    assert_eq!(read(&memory, 0x9000, 0x1000), [1; 0x1000]);
    assert_eq!(read(&memory, 0x8ff0, 0x10), [2; 0x10]);
    assert_eq!(
        memory.remove(0x9000, 0x1000),
        Err(LayError::Unknown {
            start: 0x9000,
            len_bytes: 0x1000
        })
    );
}

#[test]
fn an_access_that_leaves_memory_is_an_error_that_says_where() {
    let arena = file(0x1000);
    let mut memory = SegmentedMemory::new();
    memory.lay(Segment::new(0xffff_f000, 0x1000, image(&arena, 0), None).expect("a range"));
    assert!(memory.contains(0xffff_f000, 0x1000));
    assert!(!memory.contains(0xffff_efff, 2));
    assert!(!memory.contains(0xffff_f001, 0x1000));
    let error = memory.write(0xffff_ffff, &[0; 2]).expect_err("a hole");
    assert_eq!(
        error,
        BusError {
            address: 0xffff_ffff,
            len_bytes: 2,
            cause: None
        }
    );
    let shorter = file(0x10);
    memory.lay(Segment::new(0x1000, 0x1000, image(&shorter, 0), None).expect("a range"));
    let error = memory.read(0x1000, &mut [0; 32]).expect_err("a short file");
    assert_eq!(error.cause, Some(std::io::ErrorKind::UnexpectedEof));
    assert!(Segment::new(0xffff_f000, 0x1001, image(&arena, 0), None).is_err());
    assert!(Segment::new(0x1000, 0, image(&arena, 0), None).is_err());
}

#[test]
fn files_and_a_vector_behave_alike_under_random_accesses() {
    let seed = 11;
    let mut rng = avpu_model::rng::Rng::new(seed);
    let arena = file(0x3000);
    let mut files = SegmentedMemory::new();
    for part in 0..3_u32 {
        let segment = Segment::new(
            0x5000 + part * 0x1000,
            0x1000,
            image(&arena, u64::from(part) * 0x1000),
            None,
        );
        files.lay(segment.expect("a range"));
    }
    let mut plain = PlainMemory::new(0x5000, 0x3000);
    for step in 0..2000 {
        let address = 0x4f00 + rng.next_u32() % 0x3200;
        let len = rng.next_u32() as usize % 0x1400;
        let bytes: Vec<u8> = (0..len).map(|_| rng.next_u32() as u8).collect();
        let inside = plain.contains(address, len as u32);
        assert_eq!(
            inside,
            files.contains(address, len as u32),
            "seed {seed} step {step}"
        );
        if inside {
            files.write(address, &bytes).expect("memory");
            plain.write(address, &bytes).expect("memory");
        }
    }
    assert_eq!(read(&files, 0x5000, 0x3000), read(&plain, 0x5000, 0x3000));
}
