//! What is made ready before its turn: nobody can tell that it was.

use crate::world::shell::Shell;
use avpud::driver::build::{Addresses, ListBuilder, ListSettings, PictureWords, Role};
use avpud::hw::cmdlist::{AddressWord, WORDS};
use avpud::job::EncodeJob;
use avpud::mem::PhysAddr;
use core::num::NonZeroU32;

impl Shell {
    /// What the loop does before it waits; not every time, as many things may happen in one turn of a busy daemon.
    pub(super) fn look_ahead(&mut self) {
        self.glances = self
            .glances
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        if self.looks_ahead && self.glances >> 30 > 0 {
            self.broker.look_ahead(self.now);
            self.settle();
        }
    }

    pub(super) fn prepare(&mut self, job: &EncodeJob) {
        let written = self.engine.prepare(job);
        assert!(
            written.is_ok() || self.engine.device().failed > 0,
            "a list is not written ahead: {written:?}"
        );
    }

    /// The list that was started is, word for word, the one that would be made for the job now, whenever it was written.
    pub(super) fn check_list(&mut self, job: &EncodeJob) {
        let list = self.engine.device().list.expect("a list was started");
        let channel = self.channel(job.channel).expect("a live channel");
        let (setup, stream, lists) = (channel.setup, channel.stream, &channel.lists);
        let at = lists.range().offset_of(PhysAddr::new(list));
        let at = at.expect("the list lies in its channel");
        let mut found = [0; WORDS * 4];
        lists.read(at, &mut found).expect("inside");
        self.trace.record_list(at.value(), &found);
        let address = |word: AddressWord| {
            let at = usize::from(word.word()) * 4;
            let bytes = found[at..at + 4].try_into().expect("four bytes");
            PhysAddr::new(u32::from_le_bytes(bytes))
        };
        let role = match NonZeroU32::new(job.gop_index) {
            None => Role::Idr {
                group_target_bits: None,
            },
            Some(index) => Role::P {
                index,
                reference: address(AddressWord::REF_LUMA),
            },
        };
        let words = PictureWords {
            role,
            qp: job.qp,
            gop_qp: job.gop_qp,
            rate_control: job.rate_control,
            budget: job.budget,
            addresses: Addresses {
                source_luma: address(AddressWord::SOURCE_LUMA),
                source_chroma: address(AddressWord::SOURCE_CHROMA),
                reconstruction: address(AddressWord::REC_LUMA),
                ep1: address(AddressWord::EP1),
                ep2: address(AddressWord::EP2),
                ep3: address(AddressWord::EP3),
                stream: address(AddressWord::STREAM),
            },
            written_bytes: u32::from(job.header.slice_nal_len()),
            handover: job.header.handover(),
        };
        let settings = ListSettings::new(&setup, stream);
        let builder = ListBuilder::new(settings).expect("it is open");
        let expected = builder.build(&words).expect("it was started").to_bytes();
        let differs = expected.iter().zip(&found).position(|(a, b)| a != b);
        let word = differs.map(|byte| byte / 4);
        assert_eq!(
            word, None,
            "the first word that differs in the list of {job:?}"
        );
    }
}
