//! What one instance of the module keeps: a recorder, and the buffers at its boundary.

use crate::exports::KEY_LEN;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use stepseal_protocol::record::{Attempt, Moment, Recorder};

/// Everything that an instance keeps. A page that wants two recorders makes two instances.
pub(crate) struct State {
    /// `None` until it is started.
    pub(crate) recorder: Option<Recorder>,
    /// What JavaScript wrote for the next call.
    pub(crate) input: Vec<u8>,
    /// What JavaScript reads after the last call.
    pub(crate) output: Vec<u8>,
    /// The attempt handed out last; see [`crate::exports::sdk_attempt`].
    pub(crate) attempt: u32,
    /// When it is.
    pub(crate) now: Moment,
}

impl State {
    /// The first `len` bytes of the input, which JavaScript wrote as UTF-8, and the recorder to hand them to.
    #[inline(never)]
    pub(crate) fn text_and_recorder(&mut self, len: usize) -> Option<(&str, Moment, &mut Recorder)> {
        Some((text(self.input.get(..len)?), self.now, self.recorder.as_mut()?))
    }

    #[inline(never)]
    pub(crate) fn hand_out(&mut self, attempt: Attempt) {
        self.attempt = attempt.id << 1 | u32::from(attempt.keepalive);
        self.output = attempt.body;
    }

    /// The secret that stands before its text in the input, from which it is wiped, the text, and the place of the recorder.
    pub(crate) fn secret_and_text(
        &mut self,
        len: usize,
    ) -> Option<([u8; KEY_LEN], &str, Moment, &mut Option<Recorder>)> {
        let (place, rest) = self.input.get_mut(..len)?.split_first_chunk_mut()?;
        let secret = core::mem::replace(place, [0; KEY_LEN]);
        Some((secret, text(rest), self.now, &mut self.recorder))
    }
}

#[allow(unsafe_code)]
fn text(bytes: &[u8]) -> &str {
    // SAFETY: the face writes texts by `TextEncoder.encodeInto`, which writes whole characters of UTF-8
    // (Encoding Standard, section 9.2). Checking again would cost a pass over every recorded byte.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

struct Instance(UnsafeCell<State>);

// SAFETY: the module is built without threads.
#[allow(unsafe_code)]
unsafe impl Sync for Instance {}

static INSTANCE: Instance = Instance(UnsafeCell::new(State {
    recorder: None,
    input: Vec::new(),
    output: Vec::new(),
    attempt: 0,
    now: Moment { monotonic_ms: 0, wall_ms: 0 },
}));

/// The instance's state. `'static` because JavaScript's calls have no lifetime.
///
/// No two of these are alive at once: each export takes one and drops it before it returns, the module has one
/// thread, and as it imports nothing no export can be entered while another runs.
#[allow(unsafe_code)]
pub(crate) fn state() -> &'static mut State {
    // SAFETY: see above.
    unsafe { &mut *INSTANCE.0.get() }
}
