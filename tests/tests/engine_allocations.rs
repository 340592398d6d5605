//! The driver allocates nothing for a picture.

use avpu_tests::alloc::{CountingAllocator, count};
use avpu_tests::around::{Around, Wrapped};
use avpu_tests::bench::fixed_quality;
use avpud::codec::avc::Headers;
use avpud::codec::gop::Gop;
use avpud::codec::join::join;
use avpud::device::Device;
use avpud::device::model::VirtualModel;
use avpud::driver::{Engine, IrqVerdict};
use avpud::job::{ChannelKey, EncodeJob, EngineId, JobId};
use avpud::mem::{ByteLen, RegionOffset};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A device whose own allocations are set apart: the model is hardware, whatever it does.
struct Apart {
    device: VirtualModel,
    inside: u64,
}

impl Around for Apart {
    type Inner = VirtualModel;

    fn inner(&self) -> &VirtualModel {
        &self.device
    }

    fn inner_mut(&mut self) -> &mut VirtualModel {
        &mut self.device
    }

    fn access<T>(&mut self, action: impl FnOnce(&mut VirtualModel) -> T) -> T {
        let before = count();
        let result = action(&mut self.device);
        self.inside += count() - before;
        result
    }
}

#[test]
fn a_picture_is_started_judged_and_copied_out_without_an_allocation() {
    let setup = fixed_quality(64, 48, 10, 30);
    let device = VirtualModel::new("body=pattern,pace=free", &[], None).expect("a model");
    let arena = device.capabilities().arena;
    let mut engine =
        Engine::bring_up(Wrapped(Apart { device, inside: 0 })).expect("the model answers");
    let half = arena.len().get() / 2;
    let part = |offset, len| {
        arena
            .sub(RegionOffset::new(offset), ByteLen::new(len))
            .expect("inside")
    };
    let key = ChannelKey::new(0);
    engine
        .open_channel(key, &setup, part(0, half))
        .expect("opened");
    let headers = Headers::new(&setup, 0x8000).expect("headers");
    let qp = setup.rate_control.range().min();
    let mut gop = Gop::new(setup.gop_length);
    let mut id = JobId::FIRST;
    let mut unit = Vec::with_capacity(1 << 20);
    let before = count();
    let inside = engine.device().inside;
    for _ in 0..40 {
        let place = gop.start(qp);
        let job = EncodeJob {
            id,
            engine: EngineId::VIDEO,
            channel: key,
            kind: place.kind,
            gop_index: place.index,
            qp,
            gop_qp: place.gop_qp,
            rate_control: setup.rate_control,
            budget: None,
            source: part(half, setup.geometry.coded().source_len_bytes()),
            header: headers.picture(place, qp).expect("a header"),
        };
        id = id.next();
        if place.index.is_multiple_of(2) {
            engine.prepare(&job).expect("written");
        }
        engine.start(&job).expect("started");
        let line = engine.device().access(|device| {
            device.advance_to(device.now_us() + 1_000);
            device.take_irq().expect("an interrupt")
        });
        let verdict = engine.on_irq(line);
        assert!(matches!(verdict, IrqVerdict::Completed(_)));
        let payload = engine.payload(key, job.id).expect("held");
        unit.clear();
        join(
            job.header.bytes(),
            payload.len_bytes(),
            |offset, bytes| payload.read(offset, bytes),
            |bytes| {
                unit.extend_from_slice(bytes);
                Ok(())
            },
        )
        .expect("read");
        engine.release_payload(key, job.id).expect("held");
        gop.handle_encoded();
    }
    let inside = engine.device().inside - inside;
    assert_eq!(engine.counters().lists_ahead, 20);
    assert_eq!(count() - before - inside, 0);
    // The count counts: without this a missing allocator would look like success.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(100)));
    assert!(count() - before - inside >= 1);
}
