//! The `synapse-gateway` program: arguments in, exit code out.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    synapse_gateway::cli::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr()).into()
}
