//! The hardware side of the virtual camera: the model behind `/dev/avpu-model` and `/dev/avpu-bus`.
//!
//! `avpu-guest-model OPTIONS START LEN` with the model's options and the reserved memory, in hexadecimal bytes. Says on
//! standard output which rules of the hardware were broken, when they are, and what was counted when the encoder is
//! closed. It ends with the machine.
//!
//! The model has the driver's handler inside, which acknowledges interrupts at once; the driver here is the kernel
//! module. So every interrupt that the model hands out is put back into a latch, which is the pending register that the
//! module reads and acknowledges.

use avpu_model::memory::{Image, Segment, SegmentedMemory};
use avpu_model::registers::offset;
use avpu_model::{ModelConfig, ModelDevice, ModelHandle};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

/// What goes over `/dev/avpu-model`: kind, sequence number, register, value.
type Message = [u32; 4];

const READ: u32 = 1;
const WRITE: u32 = 2;
const CLOSED: u32 = 3;
const ANSWER: u32 = 4;
const INTERRUPT: u32 = 5;

/// What a bus reads where nothing answers.
const NOTHING: u32 = 0xffff_ffff;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("model: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [options, start, len] = words.as_slice() else {
        return Err("expected OPTIONS START LEN".into());
    };
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16);
    let (start, len_bytes) = (number(start)?, number(len)?);
    let both = || OpenOptions::new().read(true).write(true).to_owned();
    let bus = both().open("/dev/avpu-bus")?;
    let mut memory = SegmentedMemory::new();
    let image = Image::new(bus, start.into());
    memory.lay(Segment::new(start, len_bytes, image, None)?);
    let device = ModelDevice::new(&ModelConfig::parse(options)?, memory, None)?;
    let (handle, mut irq, _canceller) = device.open()?;
    let socket = both().open("/dev/avpu-model")?;
    println!("model: there");

    let latch = AtomicU32::new(0);
    let (raise, raised) = mpsc::channel();
    thread::scope(|scope| {
        let of_irq = raise.clone();
        let latch = &latch;
        scope.spawn(move || {
            while let Ok(line) = irq.wait() {
                latch.fetch_or(1 << line, Ordering::SeqCst);
                if of_irq.send(()).is_err() {
                    return;
                }
            }
        });
        // The module handles an interrupt inside this write, for which it reads registers: never in the loop below.
        let socket = &socket;
        scope.spawn(move || {
            while raised.recv().is_ok() {
                if send(socket, [INTERRUPT, 0, 0, 0]).is_err() {
                    return;
                }
            }
        });
        loop {
            let [kind, sequence, id, value] = receive(socket)?;
            let value = match kind {
                READ => read(&handle, latch, id),
                WRITE => {
                    write(&handle, latch, id, value);
                    // A source that is pending and becomes enabled interrupts at once.
                    if id == offset::IRQ_MASK && latch.load(Ordering::SeqCst) & value != 0 {
                        raise.send(())?;
                    }
                    value
                }
                CLOSED => {
                    println!("model: closed: {}", handle.counters());
                    0
                }
                _ => return Err(format!("expected an access, found message {kind}").into()),
            };
            send(socket, [ANSWER, sequence, 0, value])?;
            if (kind, id) == (WRITE, offset::CL_PUSH) {
                println!(
                    "model: pushed picture {}",
                    handle.counters().pushed.saturating_sub(1)
                );
            }
            for fault in handle.take_faults() {
                println!("model: rule broken: {fault}");
            }
        }
    })
}

fn read(handle: &ModelHandle, latch: &AtomicU32, id: u32) -> u32 {
    let value = handle.read(id).unwrap_or(NOTHING);
    if id == offset::IRQ_PENDING {
        value | latch.load(Ordering::SeqCst)
    } else {
        value
    }
}

fn write(handle: &ModelHandle, latch: &AtomicU32, id: u32, value: u32) {
    if id == offset::IRQ_PENDING {
        latch.fetch_and(!value, Ordering::SeqCst);
    }
    // The module lets no offset through that the model refuses.
    let _ = handle.write(id, value);
}

fn receive(mut socket: &File) -> io::Result<Message> {
    let mut bytes = [0; 16];
    socket.read_exact(&mut bytes)?;
    let mut message = [0; 4];
    for (word, bytes) in message.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = bytes.try_into().map_or(0, u32::from_ne_bytes);
    }
    Ok(message)
}

fn send(mut socket: &File, message: Message) -> io::Result<()> {
    let mut bytes = [0; 16];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(message) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    socket.write_all(&bytes)
}
