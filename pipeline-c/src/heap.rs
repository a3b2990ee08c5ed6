//! Keeps small what the C library holds of freed memory.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Left to itself, glibc keeps a heap for each thread, and lets each of them keep more freed memory the larger the
/// pieces were that it has seen: over a long backfill more than the buffers themselves. So there are two heaps, and
/// large pieces go back at once.
const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "524288"), ("MALLOC_TRIM_THRESHOLD_", "524288")];

/// Begins the program anew, as the same process, with these settings: glibc reads them only at a program's start.
/// Whoever has set one of them is left alone. Call it before anything else.
pub fn bound() {
    if !cfg!(target_env = "gnu") || SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = env::args_os();
    if let (Some(name), Ok(program)) = (arguments.next(), env::current_exe())
        // Another program may be the one that runs this, a dynamic linker or an emulator.
        && Path::new(&name).file_name() == program.file_name()
    {
        // It comes back only where that is not possible; then the program goes on as it is, with more memory.
        let _ = Command::new(program).arg0(name).args(arguments).envs(SETTINGS).exec();
    }
}
