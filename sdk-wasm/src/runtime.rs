//! What the standard library would bring, at a fraction of its size.

#![allow(unsafe_code, reason = "an allocator hands out memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size, unreachable};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;

/// The smallest block, and every block's alignment, in bytes. No type here asks for more.
const BLOCK_MIN: usize = 16;
/// Bytes of a page of WebAssembly's memory (core specification, section 4.2.8).
const PAGE: usize = 1 << 16;

/// Blocks whose sizes are powers of two, and a list of free ones for each size. What is free is used again for its own size
/// only, which suits a recorder: its buffers come in the same few sizes for ever. A tenth of a general allocator's size.
struct Blocks(UnsafeCell<State>);

struct State {
    /// The first free block of each power of two; its first word is the address of the next, or 0.
    free: [usize; 32],
    /// Where memory begins that was never handed out; 0 before the first time.
    fresh: usize,
}

// SAFETY: the module is built without threads.
unsafe impl Sync for Blocks {}

#[global_allocator]
static BLOCKS: Blocks = Blocks(UnsafeCell::new(State { free: [0; 32], fresh: 0 }));

unsafe extern "C" {
    /// Where the linker says that data and stack end.
    static __heap_base: u8;
}

fn size_of_block(size: usize) -> usize {
    size.max(BLOCK_MIN).next_power_of_two()
}

// SAFETY: a block is as long as was asked for or longer, begins at a multiple of `BLOCK_MIN` because all are multiples of
// it long, and is in the list of free ones or with its owner, never both.
unsafe impl GlobalAlloc for Blocks {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = size_of_block(layout.size());
        // SAFETY: one thread, and nothing in here allocates.
        let State { free, fresh } = unsafe { &mut *self.0.get() };
        let first = &mut free[size.trailing_zeros() as usize & 31];
        if *first != 0 {
            let block = *first as *mut usize;
            // SAFETY: a free block's first word is its list's.
            *first = unsafe { *block };
            return block.cast();
        }
        let start =
            if *fresh == 0 { (&raw const __heap_base as usize).next_multiple_of(BLOCK_MIN) } else { *fresh };
        let Some(end) = start.checked_add(size) else { return core::ptr::null_mut() };
        let missing = end.div_ceil(PAGE).saturating_sub(memory_size::<0>());
        if missing > 0 && memory_grow::<0>(missing) == usize::MAX {
            return core::ptr::null_mut();
        }
        *fresh = end;
        start as *mut u8
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: one thread, and nothing in here allocates.
        let State { free, .. } = unsafe { &mut *self.0.get() };
        let first = &mut free[size_of_block(layout.size()).trailing_zeros() as usize & 31];
        let block: *mut usize = block.cast();
        // SAFETY: the block was its owner's until now, and is a word long at least.
        unsafe { *block = *first };
        *first = block as usize;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size_of_block(size) == size_of_block(layout.size()) {
            return block;
        }
        // SAFETY: the caller's promises are those of `alloc` and `dealloc`; the shorter of both fits either.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[panic_handler]
fn trap(_: &PanicInfo<'_>) -> ! {
    unreachable()
}
