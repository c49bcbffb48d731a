//! The `omnisight` program: everything is in the library.

fn main() -> std::process::ExitCode {
    omnisight::cli::main()
}
