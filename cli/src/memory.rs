//! The allocator.

/// Fewer instructions for each of the many small allocations of a request than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives the system back what this thread has freed. The allocator would keep it for this thread's next allocations.
pub(crate) fn give_back() {
    #[expect(
        unsafe_code,
        reason = "the allocator's crate wraps every call but this"
    )]
    // SAFETY: it takes no pointer, and any thread may call it at any time.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
